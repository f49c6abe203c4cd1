// Files go straight to the storage: one PUT, one form POST, or parts that can be resumed.

import { ApiError, NetworkError, jobPath, json, pause } from "./api.js";

const TRIES = 5;
const PARTS_AT_ONCE = 3;
const SIGN_AHEAD = 20;

/** One file on its way. Calls `changed` whenever something of it has changed. */
export class Upload {
  /** `jobId` where a job already waits for this file. */
  constructor(file, options, changed, jobId = null) {
    this.file = file;
    this.name = file.name;
    this.jobId = jobId;
    this.state = "waiting"; // then sending, and sent | failed | stopped
    this.sent = 0;
    this.error = null;
    this.canRetry = false;
    this._options = options;
    this._changed = changed;
    this._instructions = null;
    this._once = unique(); // an answer that was lost on the way makes no second job
    this._stop = new AbortController();
  }

  get total() {
    return this.file.size;
  }

  get busy() {
    return this.state === "waiting" || this.state === "sending";
  }

  /** Send it all, or what is missing of it. Never throws: `state` says how it went. */
  async run() {
    this._stop = new AbortController();
    this._set({ state: "sending", error: null, canRetry: false });
    try {
      if (!this.file.size) throw new Refused("The file is empty.");
      await readable(this.file);
      if (!this.jobId) await this._create();
      await this._send();
      this._set({ state: "sent", sent: this.total });
    } catch (error) {
      if (error.name === "AbortError") {
        this._set({ state: "stopped" });
        return;
      }
      this._set({
        state: "failed",
        error: error.message,
        canRetry: !(error instanceof Refused) && !(error instanceof ApiError && error.status < 500),
      });
    }
  }

  /** Stop sending; the job is cancelled by whoever asks for this. */
  stop() {
    this._stop.abort();
    if (this.state === "waiting" || this.state === "failed") this._set({ state: "stopped" });
  }

  _set(fields) {
    Object.assign(this, fields);
    this._changed(this);
  }

  async _create() {
    const { signal } = this._stop;
    const created = await persist(signal, () =>
      json("v1/jobs", {
        method: "POST",
        headers: { "Idempotency-Key": this._once },
        body: { filename: this.file.name, size: this.file.size, ...this._options },
        signal,
      }),
    );
    this.jobId = created.job_id;
    this._instructions = created.upload;
    this._changed(this);
  }

  async _send() {
    const instructions = this._instructions;
    if (instructions?.method === "PUT") {
      const headers = { ...instructions.headers };
      delete headers["Content-Length"]; // the browser's own to set
      await this._whole({ method: "PUT", url: instructions.url, headers, body: this.file });
    } else if (instructions?.method === "POST") {
      const form = new FormData();
      for (const [name, value] of Object.entries(instructions.fields)) form.append(name, value);
      form.append("file", this.file); // after the fields: storage reads nothing behind it
      await this._whole({ method: "POST", url: instructions.url, headers: {}, body: form });
    } else {
      await this._parts();
    }
  }

  async _whole(message) {
    await persist(this._stop.signal, async () => {
      const answer = await send(message, this._stop.signal, (sent) =>
        this._set({ sent: Math.min(sent, this.total) }),
      );
      // 412: it is there already; the answer to an earlier try was lost on the way.
      if (answer.status !== 412) check(answer);
    });
  }

  async _parts() {
    const signal = this._stop.signal;
    const plan = await json(jobPath(this.jobId, "/upload"), { signal });
    if (plan.size != null && plan.size !== this.file.size) {
      throw new Refused("This is another file: its size is not that of the upload that was begun.");
    }
    const done = new Map((plan.uploaded ?? []).map((part) => [part.number, part.size]));
    const missing = [];
    for (let number = 1; number <= plan.parts; number += 1) {
      if (!done.has(number)) missing.push(number);
    }
    const show = () => {
      let sum = 0;
      for (const size of done.values()) sum += size;
      this._set({ sent: Math.min(sum, this.total) });
    };
    show();
    const signed = new Map();
    const sign = async (number) => {
      const numbers = [number, ...missing.filter((n) => !signed.has(n) && n !== number)];
      const answer = await json(jobPath(this.jobId, "/upload/parts"), {
        method: "POST",
        body: { numbers: numbers.slice(0, SIGN_AHEAD) },
        signal,
      });
      for (const part of answer.parts) signed.set(part.number, part);
    };
    let signing = Promise.resolve();
    const one = async (number) => {
      const slice = this.file.slice((number - 1) * plan.part_size, number * plan.part_size);
      await persist(signal, async () => {
        if (!signed.has(number)) {
          signing = signing.catch(() => {}).then(() => (signed.has(number) ? null : sign(number)));
          await signing;
        }
        const { url, headers } = signed.get(number);
        const allowed = { ...headers };
        delete allowed["Content-Length"];
        const answer = await send({ method: "PUT", url, headers: allowed, body: slice }, signal, (sent) => {
          done.set(number, Math.min(sent, slice.size));
          show();
        });
        if (answer.status === 403) {
          signed.delete(number); // its time was over
          throw new NetworkError("The storage refused a part of the file.");
        }
        check(answer);
        done.set(number, slice.size);
        show();
      }).catch((error) => {
        done.delete(number);
        throw error;
      });
    };
    const lane = async () => {
      while (missing.length) await one(missing.shift());
    };
    const lanes = Array.from({ length: PARTS_AT_ONCE }, lane);
    try {
      await Promise.all(lanes);
    } finally {
      missing.length = 0;
      await Promise.allSettled(lanes);
    }
    await persist(signal, () => json(jobPath(this.jobId, "/upload/complete"), { method: "POST", signal }));
  }
}

/** 128 random bits; crypto.randomUUID is for secure contexts alone. */
const unique = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Not to be tried again as it is. */
class Refused extends Error {}

/** A folder, or a file that was removed since it was chosen, cannot be read. */
async function readable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    throw new Refused("This cannot be read: it is a folder, or it was moved or changed.");
  }
}

/** Try until it works, as long as only the network or the server's health is in the way. */
async function persist(signal, attempt) {
  for (let tried = 1; ; tried += 1) {
    try {
      return await attempt();
    } catch (error) {
      const passing = error instanceof NetworkError || (error instanceof ApiError && error.status >= 500);
      if (!passing || tried >= TRIES) throw error;
      await pause(500 * 2 ** tried, signal);
    }
  }
}

/** XMLHttpRequest: fetch tells nobody how much of a body was sent. */
function send({ method, url, headers, body }, signal, progress) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    const abort = () => xhr.abort();
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers ?? {})) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (event) => progress(event.loaded);
    xhr.onload = () => resolve({ status: xhr.status, text: xhr.responseText });
    xhr.onerror = () => reject(new NetworkError("The upload was interrupted. Check your connection."));
    xhr.onabort = () => reject(new DOMException("stopped", "AbortError"));
    xhr.onloadend = () => signal.removeEventListener("abort", abort);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) reject(new DOMException("stopped", "AbortError"));
    else xhr.send(body);
  });
}

function check({ status, text }) {
  if (status >= 200 && status < 300) return;
  if (status >= 500) throw new NetworkError(`The storage is not well (${status}).`);
  const code = /<Code>([A-Za-z0-9]{1,60})<\/Code>/.exec(text)?.[1] ?? `status ${status}`;
  const known = {
    EntityTooLarge: "The file is larger than what may be uploaded.",
    AccessDenied: "The storage refused the file; the time to upload it may be over. Drop it again.",
  };
  throw new Refused(known[code] ?? `The storage refused the file (${code}).`);
}
