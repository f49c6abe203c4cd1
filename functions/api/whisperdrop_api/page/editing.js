// Edited texts: kept in the tab, and given the times of the words that they still have.

const PREFIX = "whisperdrop.edits.";

/** Edits of one job: segment id → text. They survive a reload, not the tab. */
export class Edits {
  constructor(jobId) {
    this._name = PREFIX + jobId;
    this._texts = {};
    try {
      this._texts = JSON.parse(sessionStorage.getItem(this._name) ?? "{}");
    } catch {
      // Something else lies there; it is overwritten by the next edit.
    }
  }

  get count() {
    return Object.keys(this._texts).length;
  }

  text(segment) {
    return this._texts[segment.id] ?? segment.text.trim();
  }

  has(segment) {
    return segment.id in this._texts;
  }

  set(segment, text) {
    const tidy = text.replace(/\s+/g, " ").trim();
    if (tidy === segment.text.trim()) delete this._texts[segment.id];
    else this._texts[segment.id] = tidy;
    this._store();
  }

  clear() {
    this._texts = {};
    this._store();
  }

  /** The segments as edited; those whose text is gone are left out. */
  apply(segments) {
    return segments
      .map((segment) => (this.has(segment) ? edited(segment, this._texts[segment.id]) : segment))
      .filter((segment) => segment.text.trim() !== "");
  }

  _store() {
    try {
      if (this.count) sessionStorage.setItem(this._name, JSON.stringify(this._texts));
      else sessionStorage.removeItem(this._name);
    } catch {
      // The tab's storage is full; the edits last as long as the page.
    }
  }
}

function edited(segment, text) {
  const words = segment.words?.length ? realign(segment, text) : segment.words;
  return { ...segment, text: ` ${text}`, words };
}

/**
 * Words of `text` with times: words that were there keep theirs, new ones share the time between
 * their neighbours, and a person wrote them, so nothing of them is unsure.
 */
export function realign(segment, text) {
  const tokens = text.split(/\s+/).filter(Boolean);
  const old = segment.words;
  const pairs = common(tokens.map(plain), old.map((word) => plain(word.word)));
  const words = tokens.map((token) => ({ word: ` ${token}`, start: null, end: null, probability: 1 }));
  for (const [ours, theirs] of pairs) {
    const same = words[ours].word.trim() === old[theirs].word.trim();
    const { start, end, probability } = old[theirs];
    Object.assign(words[ours], { start, end, probability: same ? probability : 1 });
  }
  for (let first = 0; first < words.length; first += 1) {
    if (words[first].start !== null) continue;
    let next = first;
    while (next < words.length && words[next].start === null) next += 1;
    const from = first ? words[first - 1].end : segment.start;
    const until = Math.max(from, next < words.length ? words[next].start : segment.end);
    const share = (until - from) / (next - first);
    for (let n = first; n < next; n += 1) {
      Object.assign(words[n], { start: from + share * (n - first), end: from + share * (n - first + 1) });
    }
  }
  return words;
}

const plain = (word) => word.toLowerCase().replace(/[^\p{L}\p{N}]/gu, "");

/** Pairs of indexes of a longest common subsequence. */
function common(a, b) {
  const width = b.length + 1;
  const table = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      table[i * width + j] =
        a[i] === b[j]
          ? table[(i + 1) * width + j + 1] + 1
          : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
    }
  }
  const pairs = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) pairs.push([i++, j++]);
    else if (table[(i + 1) * width + j] >= table[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return pairs;
}
