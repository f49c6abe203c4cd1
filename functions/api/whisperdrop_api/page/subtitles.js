// Text and subtitles of an edited transcript. What is not edited is rendered by the server.

const LINE = 42;
const LINES = 2;
const LONGEST_S = 7;
const PAUSE_S = 0.8;

export const EDITED_FORMATS = ["txt", "srt", "vtt"];

export const TYPES = {
  txt: "text/plain",
  srt: "application/x-subrip",
  vtt: "text/vtt",
};

export function render(format, segments) {
  if (format === "txt") return text(segments);
  return format === "srt" ? srt(cues(segments)) : vtt(cues(segments));
}

/** One line for each segment, as the server's own txt. */
export const text = (segments) =>
  segments.map((segment) => `${segment.text.replace(/\s+/g, " ").trim()}\n`).join("");

/** {start, end, lines}: at most two lines of 42 characters, seven seconds, none over a pause. */
export function cues(segments) {
  const found = [];
  for (const segment of segments) {
    let words = [];
    const close = () => {
      if (words.length) {
        found.push({ start: words[0].start, end: words.at(-1).end, lines: wrap(words.map((w) => w.word)) });
      }
      words = [];
    };
    for (const word of timed(segment)) {
      const last = words.at(-1);
      const full =
        last &&
        (wrap([...words, word].map((w) => w.word)).length > LINES ||
          word.end - words[0].start > LONGEST_S ||
          word.start - last.end > PAUSE_S);
      const clause = last && /[.!?…。！？]$/.test(last.word) && length(words) > LINE;
      if (full || clause) close();
      words.push(word);
    }
    close();
  }
  for (let n = 0; n < found.length; n += 1) {
    const next = found[n + 1]?.start ?? Infinity;
    const { start } = found[n];
    // A cue that flashes by cannot be read; it may stay until the next one begins.
    found[n].end = Math.max(found[n].end, Math.min(start + 1, next));
    if (found[n].end > next && next > start) found[n].end = next;
  }
  return found;
}

/** Words with times; without word times, by the share of the segment's letters. */
function timed(segment) {
  const words = (segment.words ?? []).filter((word) => word.word.trim());
  const pieces = words.length
    ? words.map(({ word, start, end }) => ({ word, start, end }))
    : estimate(segment);
  return pieces.flatMap(broken);
}

function estimate(segment) {
  const tokens = segment.text.split(/\s+/).filter(Boolean);
  const letters = tokens.reduce((sum, token) => sum + token.length, 0) || 1;
  let at = segment.start;
  return tokens.map((token) => {
    const start = at;
    at += ((segment.end - segment.start) * token.length) / letters;
    return { word: ` ${token}`, start, end: at };
  });
}

/** Writing without spaces comes as one long word: cut where a line ends. */
function broken(word) {
  const space = /^\s*/.exec(word.word)[0];
  const letters = [...word.word.trim()];
  if (letters.length <= LINE) return [word];
  const pieces = [];
  const each = (word.end - word.start) / letters.length;
  for (let n = 0; n < letters.length; n += LINE) {
    const part = letters.slice(n, n + LINE);
    const start = word.start + each * n;
    pieces.push({ word: (n ? "" : space) + part.join(""), start, end: start + each * part.length });
  }
  return pieces;
}

const length = (words) => words.reduce((sum, { word }) => sum + word.length, 0);

/** Lines of at most 42 characters; two of them as equal as they can be. */
function wrap(words) {
  const whole = words.join("").trim();
  if ([...whole].length <= LINE) return [whole];
  let best = null;
  for (let n = 1; n < words.length; n += 1) {
    const pair = [words.slice(0, n).join("").trim(), words.slice(n).join("").trim()];
    const widest = Math.max(...pair.map((line) => [...line].length));
    if (widest <= LINE && (!best || widest < best.widest)) best = { pair, widest };
  }
  if (best) return best.pair;
  const lines = [""];
  for (const word of words) {
    const longer = lines.at(-1) + word;
    if ([...longer.trim()].length > LINE && lines.at(-1)) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines.map((line) => line.trim());
}

function stamp(seconds, point) {
  const ms = Math.max(0, Math.round(seconds * 1000));
  const part = (value, width) => String(Math.floor(value)).padStart(width, "0");
  const [h, m, s] = [ms / 3_600_000, (ms / 60_000) % 60, (ms / 1000) % 60];
  return `${part(h, 2)}:${part(m, 2)}:${part(s, 2)}${point}${part(ms % 1000, 3)}`;
}

function srt(list) {
  return list
    .map(({ start, end, lines }, n) => {
      const shown = lines.map((line) => line.replaceAll("-->", "->"));
      return `${n + 1}\n${stamp(start, ",")} --> ${stamp(end, ",")}\n${shown.join("\n")}\n`;
    })
    .join("\n");
}

function vtt(list) {
  const escaped = (line) =>
    line.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const blocks = list.map(
    ({ start, end, lines }) =>
      `${stamp(start, ".")} --> ${stamp(end, ".")}\n${lines.map(escaped).join("\n")}\n`,
  );
  return ["WEBVTT\n", ...blocks].join("\n");
}
