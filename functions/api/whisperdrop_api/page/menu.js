// The button that opens the list of formats.

import { EDITED_FORMATS } from "./subtitles.js";
import { FORMATS } from "./downloads.js";
import { h, icon } from "./dom.js";

/** Calls `choose(format)`; `element` holds the button and its list. */
export class DownloadMenu {
  constructor(choose) {
    this._stop = null;
    this._note = h("p", { class: "menu-note", hidden: true }, "Marked formats hold your edits.");
    this._list = h(
      "div",
      { id: "download-menu", class: "menu", hidden: true },
      h(
        "ul",
        {},
        FORMATS.map(([format, title, extension]) => {
          const editable = EDITED_FORMATS.includes(format) ? "yes" : "no";
          const click = () => {
            this._close(true);
            choose(format);
          };
          return h(
            "li",
            {},
            h(
              "button",
              { type: "button", data: { format, editable }, on: { click } },
              h("span", {}, title),
              h("span", { class: "extension" }, `.${extension}`),
            ),
          );
        }),
      ),
      this._note,
    );
    this._button = h(
      "button",
      {
        type: "button",
        class: "button secondary",
        "aria-expanded": "false",
        "aria-controls": "download-menu",
        on: { click: () => (this._list.hidden ? this._open() : this._close(true)) },
      },
      icon("download"),
      h("span", {}, "Download"),
      icon("down"),
    );
    this.element = h("div", { class: "menu-place" }, this._button, this._list);
  }

  /** Whether some formats differ from what the server has. */
  set edited(some) {
    this._note.hidden = !some;
  }

  /** Close it; whether it was open. */
  escape() {
    const open = !this._list.hidden;
    this._close(true);
    return open;
  }

  _open() {
    this._list.hidden = false;
    this._button.setAttribute("aria-expanded", "true");
    this._list.querySelector("button").focus();
    this._stop = new AbortController();
    const { signal } = this._stop;
    const left = (target) => {
      if (target && !this.element.contains(target)) this._close(false);
    };
    document.addEventListener("pointerdown", (event) => left(event.target), { signal });
    this.element.addEventListener("focusout", (event) => left(event.relatedTarget), { signal });
  }

  _close(refocus) {
    if (this._list.hidden) return;
    this._stop.abort();
    this._list.hidden = true;
    this._button.setAttribute("aria-expanded", "false");
    if (refocus) this._button.focus();
  }
}
