// The text on the screen: words to click, the one being spoken, the unsure ones, and editing.

import { clock, spoken } from "./format.js";
import { h } from "./dom.js";

/** Below this the model guessed more than it heard. */
export const UNSURE_BELOW = 0.5;

const ROWS_AT_ONCE = 150; // more would hold up the page; ten hours are some thousand rows

let scrolledAt = -Infinity; // when the reader last moved the page
for (const name of ["wheel", "touchmove"]) {
  addEventListener(name, () => (scrolledAt = performance.now()), { passive: true });
}

export class TranscriptView {
  /** `seek(seconds)` is asked for by clicks; `edited()` is called after every change of a text. */
  constructor({ seek, edited }) {
    this._seek = seek;
    this._edited = edited;
    this._segments = [];
    this._edits = null;
    this._places = []; // {start, end, node}: words, or segments without word times, in order
    this._current = null;
    this._editing = false;
    this._drawing = 0;
    this.element = h("div", { class: "segments" });
    this.element.addEventListener("click", (event) => this._clicked(event));
  }

  get unsure() {
    return this.element.getElementsByClassName("unsure").length;
  }

  get editing() {
    return this._editing;
  }

  /** Show these; the language lets screen readers and browsers choose voice and font. */
  show(segments, edits, language) {
    this._segments = segments;
    this._edits = edits;
    if (language) this.element.lang = language;
    return this._draw();
  }

  /** One more segment, while the job runs. */
  append(segment) {
    this._segments.push(segment);
    const near = this._nearEnd();
    this.element.append(this._row(segment));
    if (near) this.element.lastElementChild.scrollIntoView({ block: "nearest" });
  }

  setEditing(on) {
    this._editing = on;
    return this._draw();
  }

  /** Mark what is spoken at `seconds`. */
  highlight(seconds) {
    const place = this._at(seconds);
    if (place === this._current) return;
    this._current?.node.classList.remove("spoken");
    this._current = place;
    if (!place) return;
    place.node.classList.add("spoken");
    this._follow(place.node);
  }

  /** Start of the word before (-1) or after (1) the one at `seconds`. */
  neighbour(seconds, step) {
    if (!this._places.length) return null;
    let index = this._indexAt(seconds + 0.001);
    if (step < 0 && index >= 0 && seconds - this._places[index].start > 0.4) step = 0;
    index = Math.min(this._places.length - 1, Math.max(0, index + step));
    return this._places[index].start;
  }

  /** The next unsure word after `node`, round to the first. */
  unsureAfter(node) {
    const all = [...this.element.getElementsByClassName("unsure")];
    return all[(all.indexOf(node) + 1) % all.length] ?? null;
  }

  timeOf(node) {
    return this._places[Number(node.dataset.place)]?.start ?? null;
  }

  async _draw() {
    const drawing = ++this._drawing;
    this._places = [];
    this._current = null;
    this.element.replaceChildren();
    const segments =
      this._edits && !this._editing ? this._edits.apply(this._segments) : this._segments;
    for (let n = 0; n < segments.length; n += ROWS_AT_ONCE) {
      if (n) await new Promise((resolve) => setTimeout(resolve));
      if (drawing !== this._drawing) return; // something newer is being drawn
      const rows = segments.slice(n, n + ROWS_AT_ONCE).map((segment) => this._row(segment));
      this.element.append(...rows);
      if (this._editing) for (const row of rows) grow(row.querySelector("textarea"));
    }
  }

  _row(segment) {
    const time = h(
      "button",
      {
        type: "button",
        class: "time",
        "aria-label": `Play from ${spoken(segment.start)}`,
        data: { start: String(segment.start) },
      },
      clock(segment.start),
    );
    const changed = this._edits?.has(segment);
    const row = h("div", { class: `segment${changed ? " changed" : ""}` }, time);
    row.append(this._editing ? this._field(segment, row) : this._text(segment));
    return row;
  }

  _text(segment) {
    const line = h("p", { class: "text", dir: "auto" });
    const words = segment.words?.length ? segment.words : [null];
    for (const word of words) {
      const whole = word ? word.word : segment.text;
      const shown = whole.trim();
      if (!shown) continue;
      if (line.childNodes.length && /^\s/.test(whole)) line.append(" ");
      const unsure = word && word.probability < UNSURE_BELOW;
      const node = h(
        "span",
        {
          class: unsure ? "word unsure" : "word",
          title: unsure ? `Unsure: ${Math.round(100 * word.probability)} %` : null,
          data: { place: String(this._places.length) },
        },
        shown,
      );
      const { start, end } = word ?? segment;
      this._places.push({ start, end, node });
      line.append(node);
    }
    return line;
  }

  _field(segment, row) {
    const field = h(
      "textarea",
      {
        class: "text",
        rows: "1",
        dir: "auto",
        spellcheck: "true",
        "aria-label": `Text at ${spoken(segment.start)}`,
        data: { start: String(segment.start) },
        on: {
          input: () => {
            grow(field);
            this._edits.set(segment, field.value);
            row.classList.toggle("changed", this._edits.has(segment));
            this._edited();
          },
        },
      },
    );
    field.value = this._edits.text(segment);
    return field;
  }

  _clicked(event) {
    const time = event.target.closest(".time");
    if (time) {
      this._seek(Number(time.dataset.start));
      return;
    }
    const word = event.target.closest(".word");
    // Who selects text to copy it does not want to be taken somewhere else.
    if (word && getSelection().isCollapsed) this._seek(this.timeOf(word));
  }

  /** Index of the last place that begins at or before `seconds`, or -1. */
  _indexAt(seconds) {
    let [low, high] = [0, this._places.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this._places[middle].start <= seconds) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  _at(seconds) {
    const place = this._places[this._indexAt(seconds)];
    return place && seconds < place.end + 0.25 ? place : null;
  }

  _follow(node) {
    if (performance.now() - scrolledAt < 4000) return; // the reader is looking elsewhere
    const { top, bottom } = node.getBoundingClientRect();
    if (top > 90 && bottom < innerHeight - 150) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    node.scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" });
  }

  _nearEnd() {
    const last = this.element.lastElementChild;
    if (!last || performance.now() - scrolledAt < 4000) return false;
    const { top } = last.getBoundingClientRect();
    return top > 0 && top < innerHeight;
  }
}

/** As high as its text; `field-sizing` does it where browsers have it. */
function grow(field) {
  if (CSS.supports("field-sizing", "content")) return;
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}
