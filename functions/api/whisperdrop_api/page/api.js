// Requests to the API: the key, errors as people can read them, and the network that goes away.

const KEY = "whisperdrop.key";

/** The server said no. `code` is its stable name for why. */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }

  /** Whether the key is at fault, rather than what was asked. */
  get refusesKey() {
    return this.status === 401 || this.code === "invalid_api_key";
  }
}

/** No answer came: the network or the server is away. */
export class NetworkError extends Error {
  constructor(message = "The server cannot be reached. Check your connection.") {
    super(message);
  }
}

// sessionStorage: of this tab, gone with it, and sent nowhere by itself.
let key = sessionStorage.getItem(KEY);

export const hasKey = () => Boolean(key);

export function keepKey(value) {
  key = value;
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

const events = new EventTarget();

/** Listen to `refused` (the key does not work any more), `offline` and `online`. */
export const onApi = (name, listener) => events.addEventListener(name, listener);

let reachable = true;

function report(now) {
  if (now === reachable) return;
  reachable = now;
  events.dispatchEvent(new Event(now ? "online" : "offline"));
}

/** The answer, if it is a good one. Throws ApiError, NetworkError, or AbortError. */
export async function request(path, { method = "GET", body, headers = {}, query, signal, as } = {}) {
  // Relative to the page, so that a proxy may put all of it under a prefix.
  const url = new URL(path.replace(/^\//, ""), new URL(".", location.href));
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value != null && value !== "") url.searchParams.append(name, value);
  }
  const used = as ?? key;
  const all = { Authorization: `Bearer ${used}`, ...headers };
  if (body !== undefined) all["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(url, {
      method,
      headers: all,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
      credentials: "omit",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    report(false);
    throw new NetworkError();
  }
  report(true);
  if (answer.ok) return answer;
  const failure = await describe(answer);
  if (failure.refusesKey && as === undefined && used === key) {
    events.dispatchEvent(new CustomEvent("refused", { detail: failure.message }));
  }
  throw failure;
}

async function describe(answer) {
  let found = {};
  try {
    found = await answer.json();
  } catch {
    // A gateway's own error page.
  }
  // The native routes answer {detail, code}, the OpenAI ones {error: {message, code}}.
  const message = found.detail ?? found.error?.message ?? `The server answered ${answer.status}.`;
  return new ApiError(answer.status, found.code ?? found.error?.code ?? "", sentence(String(message)));
}

/** The server's messages begin small, to be parts of sentences. */
export function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

export async function json(path, options) {
  const answer = await request(path, options);
  return answer.status === 204 ? null : answer.json();
}

export const jobPath = (id, rest = "") => `v1/jobs/${encodeURIComponent(id)}${rest}`;

/** Resolves after `ms`, or rejects when `signal` says so. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(done, ms);
    function done() {
      signal?.removeEventListener("abort", abort);
      resolve();
    }
    function abort() {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    }
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
  });
}
