// Follows a job to its end: by its stream of events, by asking again where streams do not pass.

import { ApiError, jobPath, json, pause, request } from "./api.js";

const SILENCE_MS = 45_000; // the server sends a comment every 15 s
const FAILURES_BEFORE_POLLING = 3;
const FINAL = new Set(["succeeded", "failed", "cancelled", "expired"]);

export const isFinal = (status) => FINAL.has(status);

/** Events of a text/event-stream: {event, data, id}, id undefined where none was sent. */
export async function* parseEvents(chunks) {
  const decoder = new TextDecoder();
  let rest = "";
  let event = { event: "message", data: [], id: undefined };
  for await (const chunk of chunks) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (event.data.length) yield { ...event, data: event.data.join("\n") };
        event = { event: "message", data: [], id: undefined };
        continue;
      }
      const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (field === "event") event.event = value;
      else if (field === "data") event.data.push(value);
      else if (field === "id") event.id = value;
    }
  }
}

async function* read(stream, alive) {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * Calls `job(JobBody)` at every change and `segment(Segment)` for each one, in order and once,
 * until the job has ended. Throws AbortError, and ApiError where there is no such job.
 */
export async function follow(id, { job, segment }, signal) {
  let after = 0;
  for (let failures = 0; failures < FAILURES_BEFORE_POLLING; ) {
    const stop = new AbortController();
    const abort = () => stop.abort();
    signal.addEventListener("abort", abort, { once: true });
    let timer;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(abort, SILENCE_MS);
    };
    try {
      alive();
      const headers = { Accept: "text/event-stream" };
      if (after) headers["Last-Event-ID"] = String(after);
      const answer = await request(jobPath(id, "/events"), { headers, signal: stop.signal });
      for await (const event of parseEvents(read(answer.body, alive))) {
        failures = 0;
        if (event.id !== undefined) after = Number(event.id) || after;
        const data = JSON.parse(event.data);
        if (event.event === "segment") segment(data);
        else job(data);
        if (event.event === "end") return;
      }
    } catch (error) {
      if (signal.aborted) throw error;
      if (error instanceof ApiError && error.status < 500) {
        if (error.code === "job_not_found" || error.refusesKey) throw error;
        break; // no such route here
      }
      failures += 1;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    }
    await pause(Math.min(15_000, 500 * 2 ** failures), signal);
  }
  await poll(id, job, signal);
}

async function poll(id, job, signal) {
  for (let wait = 1000; ; wait = Math.min(5000, wait * 1.2)) {
    try {
      const body = await json(jobPath(id), { signal });
      job(body);
      if (isFinal(body.status)) return;
    } catch (error) {
      if (signal.aborted || (error instanceof ApiError && error.status < 500)) throw error;
    }
    await pause(wait, signal);
  }
}
