// One job: what it is doing, its text as it comes, the player, and what can be done with it all.

import { ApiError, NetworkError, jobPath, json, sentence } from "./api.js";
import { copy, save } from "./downloads.js";
import { Player, SKIP_S } from "./player.js";
import { announce, notify } from "./dialogs.js";
import { chip, nameOf } from "./jobs.js";
import { clock, fullDate, roughly, when } from "./format.js";
import { follow, isFinal } from "./live.js";
import { foreign, h, icon } from "./dom.js";
import { DownloadMenu } from "./menu.js";
import { Edits } from "./editing.js";
import { text as asText } from "./subtitles.js";
import { TranscriptView } from "./transcript.js";
import { languageName } from "./options.js";

const STAGES = {
  loading: "Loading the model",
  decoding: "Reading the recording",
  transcribing: "Transcribing",
};

/** `actions` are {back, cancel(job), remove(job), resume(file, id), again(file),
 *  restart(file, job), confirm, changed(job)}. */
export class Detail {
  constructor(id, { file, name, actions }) {
    this.id = id;
    this._file = file;
    this._given = name;
    this._actions = actions;
    this._job = null;
    this._transcript = null;
    this._segments = [];
    this._edits = new Edits(id);
    this._stop = new AbortController();
    this._address = null;
    this._view = new TranscriptView({
      seek: (seconds) => this._player.seek(seconds, { play: true }),
      edited: () => this._showEdits(),
    });
    this._player = new Player({
      source: () => this._media(),
      tick: (seconds) => this._view.highlight(seconds),
      broken: (error) => this._showPlayerError(error),
    });
    this.element = this._build();
    if (file) this._player.ready(); // its length costs nothing to know
  }

  /** Show the job, and follow it until it has ended. */
  async run() {
    const { signal } = this._stop;
    try {
      this._show(await json(jobPath(this.id), { signal }));
      if (!isFinal(this._job.status)) {
        await follow(
          this.id,
          { job: (job) => this._show(job), segment: (segment) => this._append(segment) },
          signal,
        );
      }
      if (this._job.status === "succeeded") await this._finish();
    } catch (error) {
      if (error.name === "AbortError") return;
      this._fail(error);
    }
  }

  /** The server may know more than before: look again. */
  reload() {
    this._stop.abort();
    this._stop = new AbortController();
    this._segments = [];
    this._view.show([], null);
    this.run();
  }

  close() {
    this._stop.abort();
    this._player.close();
    if (this._address) URL.revokeObjectURL(this._address);
  }

  focus() {
    this._title.focus();
  }

  /** A key that means something here; whether it did. */
  key(event) {
    const word = event.shiftKey;
    if (event.key === " " || event.key === "k") this._player.toggle();
    else if (event.key === "ArrowLeft" && word) this._step(-1);
    else if (event.key === "ArrowRight" && word) this._step(1);
    else if (event.key === "ArrowLeft") this._player.skip(-SKIP_S);
    else if (event.key === "ArrowRight") this._player.skip(SKIP_S);
    else if (event.key === "e" && this._transcript) this._toggleEditing();
    else return false;
    return true;
  }

  /** Close what lies over the text; whether anything did. */
  escape() {
    return this._menu.escape();
  }

  /** Play and pause while typing. */
  toggle() {
    this._player.toggle();
  }

  _step(step) {
    const to = this._view.neighbour(this._player.time, step);
    if (to !== null) this._player.seek(to);
  }

  // --- what is shown ------------------------------------------------------------------------

  _show(job) {
    const before = this._job?.status;
    this._job = { ...job, name: job.name ?? this._job?.name ?? this._given };
    const name = nameOf(this._job);
    this._title.replaceChildren(foreign(name));
    document.title = `${name} – Whisperdrop`;
    const audio = job.usage?.audio_s;
    this._facts.replaceChildren(
      chip(job),
      h("span", {}, job.model),
      ...(audio ? [h("span", {}, clock(audio))] : []),
      h("time", { datetime: job.created_at, title: fullDate(job.created_at) }, when(job.created_at)),
    );
    if (audio) this._player.length = audio;
    else if (job.progress?.total_s) this._player.length = job.progress.total_s;
    this._cancel.hidden = isFinal(job.status);
    this._cancel.disabled = Boolean(job.cancel_requested);
    this._remove.hidden = !isFinal(job.status);
    this._showProgress(job);
    this._showEnd(job);
    const playable = this._file ? job.status !== "failed" : job.status !== "awaiting_upload";
    this._player.element.hidden =
      !playable || ["failed", "expired"].includes(job.status) || (job.status === "cancelled" && !this._file);
    if (before && before !== job.status) announce(`${name}: ${chip(job).textContent}`);
    this._actions.changed(this._job);
  }

  _showProgress(job) {
    this._progress.hidden = isFinal(job.status) || (job.status === "awaiting_upload" && !this._file);
    if (this._progress.hidden) return;
    const { progress } = job;
    const running = job.status === "running";
    const percent = running ? progress?.percent : null;
    this._stage.textContent = job.cancel_requested
      ? "Stopping"
      : job.status === "awaiting_upload"
        ? "Uploading"
        : running
          ? (STAGES[progress?.stage] ?? "Working")
          : "In the queue";
    this._rest.textContent = [
      percent == null ? "" : `${Math.round(percent)} %`,
      running && progress?.eta_s != null ? `about ${roughly(progress.eta_s)} left` : "",
    ]
      .filter(Boolean)
      .join(" · ");
    // Without a value the bar says that it is not known how long it will take.
    if (percent == null) this._bar.removeAttribute("value");
    else this._bar.value = percent;
    this._waiting.hidden = this._segments.length > 0;
  }

  _showEnd(job) {
    const shown = [];
    if (job.status === "failed" || job.status === "expired") {
      shown.push(h("p", { class: "what" }, icon("alert"), sentence(job.error?.message ?? "It did not work")));
      if (this._file) shown.push(this._button("retry", "Try again", () => this._actions.again(this._file)));
    } else if (job.status === "cancelled") {
      shown.push(h("p", { class: "what" }, icon("stop"), "This job was cancelled. There is no transcript."));
      if (this._file) shown.push(this._button("retry", "Transcribe it", () => this._actions.again(this._file)));
    } else if (job.status === "awaiting_upload" && !this._file) {
      shown.push(
        h("p", { class: "what" }, icon("upload"), "The upload of this file was not finished."),
        h(
          "label",
          { class: "button secondary" },
          "Choose the file to resume",
          h("input", { type: "file", class: "off-screen", on: { change: (event) => this._resume(event) } }),
        ),
      );
    }
    this._end.hidden = !shown.length;
    this._end.replaceChildren(...shown);
  }

  _append(segment) {
    this._segments.push(segment);
    this._waiting.hidden = true;
    this._live.hidden = false;
    this._view.append(segment);
  }

  async _finish() {
    const transcript = await json(jobPath(this.id, "/transcript"), {
      query: { format: "json" },
      signal: this._stop.signal,
    });
    this._transcript = transcript;
    this._segments = transcript.segments;
    this._progress.hidden = true;
    this._live.hidden = false;
    this._live.removeAttribute("role"); // it was a log while it grew
    this._live.removeAttribute("aria-live");
    this._player.length = transcript.duration;
    const language = transcript.task === "translate" ? "en" : transcript.language;
    const { usage } = this._job;
    const speed = usage?.engine_s ? usage.audio_s / usage.engine_s : 0;
    this._facts.append(
      h("span", {}, languageName(transcript.language), transcript.task === "translate" ? " → English" : ""),
      speed >= 1 && h("span", { title: `${roughly(usage.engine_s)} of computing` }, `${Math.round(speed)}× real time`),
    );
    this._tools.hidden = !transcript.segments.length;
    this._silence.hidden = transcript.segments.length > 0;
    await this._view.show(this._segments, this._edits, language);
    this._showEdits();
    this._view.highlight(this._player.time);
  }

  _showEdits() {
    const { count } = this._edits;
    this._undo.hidden = !count;
    this._edited.hidden = !count;
    this._edited.textContent = `Edited: ${count === 1 ? "1 passage" : `${count} passages`}, kept in this tab`;
    this._menu.edited = count > 0;
    const { unsure } = this._view;
    this._legend.hidden = this._view.editing || !unsure;
    this._unsure.textContent = unsure === 1 ? "1 word" : `${unsure} words`;
  }

  _showPlayerError(error) {
    const gone = error instanceof ApiError && error.status === 410;
    this._mute.hidden = false;
    this._mute.textContent = gone ? "The recording was deleted; its transcript is kept." : error.message;
  }

  _fail(error) {
    if (error instanceof ApiError && error.status === 404) {
      this._title.textContent = "No such transcript";
      this._facts.replaceChildren();
      this._player.element.hidden = true;
      this._cancel.hidden = true;
      this._remove.hidden = true;
    }
    this._progress.hidden = true;
    this._end.hidden = false;
    this._end.replaceChildren(
      h("p", { class: "what" }, icon("alert"), error.message),
      this._button("retry", "Try again", () => this.reload()),
    );
    if (!(error instanceof ApiError || error instanceof NetworkError)) throw error;
  }

  // --- what can be done ---------------------------------------------------------------------

  /** The dropped file itself, else an address of the storage. */
  async _media() {
    if (this._file) return (this._address ??= URL.createObjectURL(this._file));
    // Asked for here and not by the player, which cannot send the key.
    return (await json(jobPath(this.id, "/media"), { query: { redirect: "false" } })).url;
  }

  async _resume(event) {
    const [file] = event.target.files;
    if (!file) return;
    if (this._job.name && file.name !== this._job.name) {
      notify(`This upload was begun with another file: ${this._job.name}`, { error: true });
      return;
    }
    try {
      await json(jobPath(this.id, "/upload"));
    } catch (error) {
      // One that was not in parts cannot go on: it begins anew.
      if (error.status === 409) this._actions.restart(file, this._job);
      else notify(error.message, { error: true });
      return;
    }
    this._file = file;
    this._actions.resume(file, this.id);
    this.reload();
  }

  async _copy() {
    try {
      await copy(asText(this._edits.apply(this._segments)));
      notify("Copied.");
    } catch (error) {
      notify(error.message, { error: true });
    }
  }

  async _save(format) {
    try {
      await save(this._job, format, this._segments, this._edits);
    } catch (error) {
      if (error.name !== "AbortError") notify(error.message, { error: true });
    }
  }

  async _toggleEditing() {
    const on = !this._view.editing;
    this._edit.classList.toggle("active", on);
    this._edit.lastChild.textContent = on ? "Done" : "Edit";
    await this._view.setEditing(on);
    this._showEdits();
    if (on) this._view.element.querySelector("textarea")?.focus({ preventScroll: true });
    announce(on ? "Editing. Changes are kept in this tab." : "Editing has ended.");
  }

  async _undoAll() {
    const sure = await this._actions.confirm({
      title: "Undo all edits?",
      text: ["The text becomes again what was transcribed."],
      yes: "Undo edits",
      no: "Keep them",
    });
    if (!sure) return;
    this._edits.clear();
    await this._view.setEditing(this._view.editing);
    this._showEdits();
  }

  _nextUnsure() {
    const node = this._view.unsureAfter(this._lastUnsure);
    if (!node) return;
    this._lastUnsure = node;
    const seconds = this._view.timeOf(node);
    if (seconds !== null) this._player.seek(Math.max(0, seconds));
    node.scrollIntoView({ block: "center" });
    announce(`${node.textContent}, at ${clock(seconds)}`);
  }

  // --- how it is built ----------------------------------------------------------------------

  _button(picture, text, click, attributes = {}) {
    return h(
      "button",
      { type: "button", class: "button secondary", on: { click }, ...attributes },
      icon(picture),
      h("span", {}, text),
    );
  }

  _build() {
    this._title = h("h2", { id: "job-title", tabindex: "-1" }, foreign(this._given ?? "Transcript"));
    this._facts = h("div", { class: "facts" });
    this._cancel = this._button("stop", "Cancel", () => this._actions.cancel(this._job), { hidden: true });
    this._remove = this._button("trash", "Delete", () => this._actions.remove(this._job), { hidden: true });

    this._edit = this._button("edit", "Edit", () => this._toggleEditing());
    this._undo = this._button("retry", "Undo edits", () => this._undoAll(), { hidden: true });
    this._menu = new DownloadMenu((format) => this._save(format));
    this._edited = h("span", { class: "edited-note", hidden: true });
    this._tools = h(
      "div",
      { class: "tools", hidden: true },
      this._button("copy", "Copy", () => this._copy()),
      this._edit,
      this._menu.element,
      this._undo,
      this._edited,
    );

    this._stage = h("span", { class: "stage", id: "stage" });
    this._rest = h("span", { class: "rest" });
    this._bar = h("progress", { max: "100", "aria-labelledby": "stage" });
    this._waiting = h("p", { class: "waiting" }, "The text appears here as it is transcribed.");
    this._progress = h(
      "section",
      { class: "progress", "aria-label": "Progress", hidden: true },
      h("div", { class: "progress-line" }, this._stage, this._rest),
      this._bar,
      this._waiting,
    );
    this._end = h("section", { class: "ending", hidden: true, "aria-label": "Result" });

    this._unsure = h("span", {});
    this._legend = h(
      "p",
      { class: "legend", hidden: true },
      "The model was unsure of ",
      this._unsure,
      ", dotted like ",
      h("span", { class: "word unsure sample" }, "this"),
      ". ",
      h("button", { type: "button", class: "link-button", on: { click: () => this._nextUnsure() } }, "Go to the next"),
    );
    this._silence = h("p", { class: "waiting", hidden: true }, "No speech was found in this recording.");
    this._live = h(
      "section",
      { class: "transcript", hidden: true, role: "log", "aria-live": "polite", "aria-label": "Transcript" },
      this._view.element,
    );
    this._mute = h("p", { class: "mute", role: "status", hidden: true });
    this._player.element.hidden = true;
    const back = h(
      "a",
      { class: "back", href: "#/", on: { click: () => this._actions.back(this.id) } },
      icon("back"),
      "All transcripts",
    );
    return h(
      "article",
      { class: "detail", "aria-labelledby": "job-title" },
      back,
      h("header", { class: "detail-head" }, this._title, this._facts, h("div", { class: "job-actions" }, this._cancel, this._remove)),
      this._progress,
      this._end,
      this._tools,
      this._legend,
      this._silence,
      this._live,
      h("div", { class: "dock" }, this._mute, this._player.element),
    );
  }
}
