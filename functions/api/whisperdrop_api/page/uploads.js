// The files on their way, a few at a time, each with its bar.

import { byId, foreign, h, icon, iconButton } from "./dom.js";
import { announce, confirm } from "./dialogs.js";
import { jobPath, json } from "./api.js";
import { bytes } from "./format.js";
import { Upload } from "./upload.js";

const AT_ONCE = 3;

/** `arrived(upload)` is called when a file is there, `changed()` when a row came or went. */
export class Uploads {
  constructor({ arrived, changed, created }) {
    this._arrived = arrived;
    this._changed = changed;
    this._created = created;
    this._rows = new Map(); // Upload → row
    this.files = new Map(); // job id → File, for the player
    addEventListener("beforeunload", (event) => {
      if (this.busy) event.preventDefault();
    });
    addEventListener("online", () => {
      for (const upload of this._rows.keys()) if (upload.canRetry) this._again(upload);
    });
  }

  get busy() {
    return [...this._rows.keys()].some((upload) => upload.busy);
  }

  /** Whether the job has a row here, and so none in the list. */
  has(jobId) {
    return [...this._rows.keys()].some((upload) => upload.jobId === jobId);
  }

  add(files, options) {
    const leads = !this._rows.size;
    files.forEach((file, n) => {
      const upload = new Upload(file, options, (changed) => this._show(changed));
      upload.leads = leads && n === 0;
      this._add(upload);
    });
    announce(files.length === 1 ? `Uploading ${files[0].name}` : `Uploading ${files.length} files`);
    this._pump();
  }

  /** Go on with an upload that another page began. */
  resume(file, jobId) {
    this._add(new Upload(file, {}, (upload) => this._show(upload), jobId));
    this._pump();
  }

  stopAll() {
    for (const upload of this._rows.keys()) upload.stop();
    this._rows.clear();
    this.files.clear();
    byId("uploads").replaceChildren();
    byId("uploads-area").hidden = true;
  }

  _add(upload) {
    const row = {
      element: h("li", { class: "upload-row" }),
      facts: h("span", { class: "upload-facts" }),
      bar: h("progress", { max: String(upload.total || 1), value: "0", "aria-label": `Upload of ${upload.name}` }),
      error: h("p", { class: "row-error" }),
      again: h(
        "button",
        { type: "button", class: "link-button", on: { click: () => this._again(upload) } },
        icon("retry"),
        "Try again",
      ),
      close: iconButton("close", `Stop ${upload.name}`, () => this._close(upload)),
    };
    row.element.append(
      h("span", { class: "job-name", title: upload.name }, foreign(upload.name)),
      row.close,
      row.facts,
      row.bar,
      row.error,
      row.again,
    );
    this._rows.set(upload, row);
    byId("uploads").append(row.element);
    byId("uploads-area").hidden = false;
    this._show(upload);
  }

  _pump() {
    let free = AT_ONCE - [...this._rows.keys()].filter((upload) => upload.state === "sending").length;
    for (const upload of this._rows.keys()) {
      if (upload.state !== "waiting" || free-- <= 0) continue;
      upload.run().then(() => this._pump());
    }
  }

  _again(upload) {
    upload.state = "waiting";
    this._show(upload);
    this._pump();
  }

  _show(upload) {
    const row = this._rows.get(upload);
    if (!row) return;
    if (upload.jobId && !this.files.has(upload.jobId)) {
      this.files.set(upload.jobId, upload.file);
      this._created(upload);
      this._changed();
    }
    if (upload.state === "sent" || upload.state === "stopped") {
      this._drop(upload);
      if (upload.state === "sent") this._arrived(upload);
      return;
    }
    const failed = upload.state === "failed";
    row.element.classList.toggle("failed", failed);
    row.bar.hidden = failed;
    row.bar.value = upload.sent;
    row.facts.textContent =
      upload.state === "waiting"
        ? `Waiting · ${bytes(upload.total)}`
        : `${bytes(upload.sent)} of ${bytes(upload.total)}`;
    row.facts.hidden = failed;
    row.error.hidden = !failed;
    row.again.hidden = !(failed && upload.canRetry);
    if (failed && row.error.textContent !== upload.error) {
      row.error.replaceChildren(icon("alert"), upload.error);
      row.close.setAttribute("aria-label", `Remove ${upload.name}`);
      row.close.title = `Remove ${upload.name}`;
      announce(`${upload.name}: ${upload.error}`);
    }
  }

  async _close(upload) {
    const { jobId } = upload;
    if (upload.busy) {
      const sure = await confirm({
        title: "Stop this upload?",
        text: [foreign(upload.name), " will not be transcribed."],
        yes: "Stop it",
        no: "Go on",
      });
      if (!sure || upload.state === "sent") return;
    }
    upload.stop();
    this._drop(upload);
    this._pump();
    // Nobody waits for its file any more.
    if (jobId) await json(jobPath(jobId, "/cancel"), { method: "POST" }).catch(() => {});
    this._changed();
  }

  _drop(upload) {
    const row = this._rows.get(upload);
    if (!row) return;
    const focused = row.element.contains(document.activeElement);
    row.element.remove();
    this._rows.delete(upload);
    byId("uploads-area").hidden = !this._rows.size;
    if (focused) byId("choose").focus();
  }
}
