// The list of jobs: pages of it, newest first, kept up to date while anything of it goes on.

import { byId, foreign, h, icon, iconButton } from "./dom.js";
import { fullDate, when } from "./format.js";
import { announce } from "./dialogs.js";
import { isFinal } from "./live.js";
import { json } from "./api.js";

const PAGE = 30;
const BUSY_MS = 2000;
const IDLE_MS = 30_000;
const EMPTY_PAGES = 10; // a page may be empty although more follow

const ACTIVE = ["awaiting_upload", "queued", "running"];
const FILTERS = {
  "": [],
  active: ACTIVE,
  succeeded: ["succeeded"],
  failed: ["failed", "expired"],
  cancelled: ["cancelled"],
};

const STATES = {
  awaiting_upload: ["upload", "Waiting for upload"],
  queued: ["clock", "In the queue"],
  running: ["clock", "Transcribing"],
  succeeded: ["check", "Done"],
  failed: ["alert", "Failed"],
  cancelled: ["stop", "Cancelled"],
  expired: ["alert", "Expired"],
};

/** A status as a word with a picture: never by colour alone. */
export function chip(job) {
  const [picture, name] = STATES[job.status] ?? ["file", job.status];
  const text = job.cancel_requested && !isFinal(job.status) ? "Stopping" : name;
  return h("span", { class: `chip chip-${job.status}` }, icon(picture), text);
}

export const nameOf = (job) => job.name || `Recording ${job.job_id.slice(0, 8)}`;

/** The list. `actions` are {hidden(id), cancel(job), remove(job)}. */
export class JobList {
  constructor(actions) {
    this._actions = actions;
    this._jobs = new Map();
    this._rows = new Map();
    this._next = null;
    this._loading = null;
    this._timer = null;
    this._query = { q: "", filter: "" };
    this._open = null;
    this._alive = false;
    byId("search").addEventListener("input", () => this._searched());
    byId("filter").addEventListener("change", () => this._searched(0));
    byId("more").addEventListener("click", () => this._more());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this._alive) this.refresh();
    });
  }

  start() {
    this._alive = true;
    byId("search").value = "";
    byId("filter").value = "";
    this._query = { q: "", filter: "" };
    return this._restart();
  }

  stop() {
    this._alive = false;
    clearTimeout(this._timer);
    this._loading?.abort();
    this._jobs.clear();
    this._render();
  }

  get(id) {
    return this._jobs.get(id);
  }

  /** Something is known of a job before the list is asked again. */
  update(job) {
    const known = this._jobs.get(job.job_id);
    if (!known) return;
    this._jobs.set(job.job_id, { ...job, name: job.name ?? known.name });
    this._render();
  }

  forget(id) {
    this._jobs.delete(id);
    this._render();
  }

  markOpen(id) {
    this._open = id;
    this._render();
  }

  focus(id) {
    this._rows.get(id)?.element.querySelector("a").focus();
  }

  /** Show everything again, so that a new job is seen. */
  clearSearch() {
    if (!this._query.q && !this._query.filter) return;
    byId("search").value = "";
    byId("filter").value = "";
    this._searched(0);
  }

  /** Read the first page again; what is further down stays as it was. */
  async refresh() {
    if (!this._alive) return;
    clearTimeout(this._timer);
    const query = this._query;
    const stop = (this._loading = new AbortController());
    try {
      const page = await this._page(null, stop.signal);
      if (query !== this._query || !this._alive) return;
      const depth = page.next_cursor ? page.data.at(-1)?.job_id : null;
      const fresh = new Set(page.data.map((job) => job.job_id));
      for (const id of this._jobs.keys()) {
        // Ids sort newest first: what this page would show and does not is gone.
        if (!fresh.has(id) && (depth === null || id <= depth)) this._jobs.delete(id);
      }
      if (!this._deeper) this._next = page.next_cursor;
      this._take(page.data);
    } catch (error) {
      if (error.name === "AbortError") return;
      this._failed(error);
    }
    this._schedule();
  }

  render() {
    this._render();
  }

  _searched(delay = 250) {
    clearTimeout(this._delay);
    this._delay = setTimeout(() => {
      this._query = { q: byId("search").value.trim(), filter: byId("filter").value };
      this._restart(true);
    }, delay);
  }

  async _restart(say = false) {
    this._loading?.abort();
    this._jobs.clear();
    this._next = null;
    this._deeper = false;
    byId("jobs").setAttribute("aria-busy", "true");
    await this.refresh();
    byId("jobs").setAttribute("aria-busy", "false");
    this._render();
    if (say) announce(this._rows.size === 1 ? "1 transcript" : `${this._rows.size} transcripts`);
  }

  async _more() {
    const before = this._rows.size;
    this._deeper = true;
    byId("more").disabled = true;
    try {
      const stop = (this._loading = new AbortController());
      const page = await this._page(this._next, stop.signal);
      this._next = page.next_cursor;
      this._take(page.data);
      announce(`${this._rows.size - before} more`);
    } catch (error) {
      if (error.name !== "AbortError") this._failed(error);
    }
    byId("more").disabled = false;
    this._schedule();
  }

  async _page(cursor, signal) {
    const { q, filter } = this._query;
    const statuses = FILTERS[filter].map((status) => `status=${status}`).join("&");
    const data = [];
    for (let tried = 0; tried < EMPTY_PAGES; tried += 1) {
      const page = await json(`v1/jobs?${statuses}`, { query: { limit: PAGE, q, cursor }, signal });
      data.push(...page.data);
      cursor = page.next_cursor;
      if (data.length || !cursor) break;
    }
    return { data, next_cursor: cursor };
  }

  _take(jobs) {
    for (const job of jobs) {
      const before = this._jobs.get(job.job_id);
      if (before && !isFinal(before.status) && isFinal(job.status)) {
        announce(`${nameOf(job)}: ${STATES[job.status][1]}`);
      }
      this._jobs.set(job.job_id, job);
    }
    byId("list-error").hidden = true;
    this._render();
  }

  _failed(error) {
    byId("list-error").hidden = false;
    byId("list-error").textContent = error.message;
  }

  _schedule() {
    clearTimeout(this._timer);
    if (!this._alive) return;
    const busy = [...this._jobs.values()].some((job) => !isFinal(job.status));
    this._timer = setTimeout(
      () => (document.hidden ? this._schedule() : this.refresh()),
      busy ? BUSY_MS : IDLE_MS,
    );
  }

  _render() {
    const list = byId("jobs");
    const shown = [...this._jobs.values()]
      .filter((job) => !this._actions.hidden(job.job_id))
      .sort((a, b) => (a.job_id < b.job_id ? -1 : 1)); // ids sort newest first
    const wanted = new Set(shown.map((job) => job.job_id));
    for (const [id, row] of this._rows) {
      if (wanted.has(id)) continue;
      row.element.remove();
      this._rows.delete(id);
    }
    shown.forEach((job, index) => {
      let row = this._rows.get(job.job_id);
      const seen = JSON.stringify([job, job.job_id === this._open, when(job.created_at)]);
      if (!row) {
        row = { element: h("li", { class: "job-row", data: { job: job.job_id } }), seen: null };
        this._rows.set(job.job_id, row);
      }
      if (row.seen !== seen) this._fill(row.element, job);
      row.seen = seen;
      if (list.children[index] !== row.element) list.insertBefore(row.element, list.children[index] ?? null);
    });
    byId("more").hidden = !this._next;
    const searching = Boolean(this._query.q || this._query.filter);
    const empty = !shown.length && list.getAttribute("aria-busy") !== "true";
    byId("no-jobs").hidden = !empty;
    byId("no-jobs").textContent = searching
      ? "Nothing matches. Try another word or status."
      : "Nothing here yet. Your transcripts will appear in this list.";
  }

  _fill(element, job) {
    const name = nameOf(job);
    const focused = element.contains(document.activeElement)
      ? document.activeElement.dataset.part
      : null;
    const percent = job.status === "running" ? job.progress?.percent : null;
    const button = isFinal(job.status)
      ? iconButton("trash", `Delete ${name}`, () => this._actions.remove(job))
      : iconButton("close", `Cancel ${name}`, () => this._actions.cancel(job));
    button.dataset.part = "button";
    element.replaceChildren(
      h(
        "a",
        {
          href: `#/jobs/${job.job_id}`,
          class: "job-link",
          "aria-current": job.job_id === this._open ? "true" : null,
          data: { part: "link" },
        },
        h("span", { class: "job-name", title: name }, foreign(name)),
        h(
          "span",
          { class: "job-facts" },
          chip(job),
          percent != null && h("span", { class: "percent" }, `${Math.round(percent)} %`),
          h("time", { datetime: job.created_at, title: fullDate(job.created_at) }, when(job.created_at)),
        ),
      ),
      button,
    );
    if (percent != null) {
      element.append(h("progress", { max: "100", value: String(percent), "aria-label": `Progress of ${name}` }));
    }
    if (focused) element.querySelector(`[data-part=${focused}]`)?.focus();
  }
}
