// Where the page begins: who is there, what is open, what was dropped.

import { ApiError, hasKey, jobPath, json, keepKey, onApi, pause, request } from "./api.js";
import { announce, confirm, notify, wireDialogs } from "./dialogs.js";
import { byId, foreign, icon, placeIcons } from "./dom.js";
import { fillLanguages, fillModels, options, summarise } from "./options.js";
import { JobList, nameOf } from "./jobs.js";
import { Detail } from "./detail.js";
import { Uploads } from "./uploads.js";

const DELETE_TRIES = 30;
const WIDE = matchMedia("(min-width: 60rem)");

let detail = null;

const uploads = new Uploads({
  arrived: (upload) => {
    announce(`${upload.name} is uploaded`);
    list.render();
    list.refresh();
  },
  changed: () => list.refresh(),
  created: (upload) => {
    // The first file opens by itself where there is room for it.
    if (upload.leads && !detail && WIDE.matches) location.hash = `#/jobs/${upload.jobId}`;
  },
});

const list = new JobList({
  hidden: (id) => uploads.has(id),
  cancel,
  remove,
});

// --- the key ----------------------------------------------------------------------------------

function showSignIn(message = "") {
  list.stop();
  uploads.stopAll();
  close();
  byId("app").hidden = true;
  byId("leave").hidden = true;
  byId("sign-in").hidden = false;
  showKeyError(message);
  byId("key").value = "";
  byId("key").focus();
}

function showKeyError(message) {
  byId("key-error").hidden = !message;
  byId("key-error").replaceChildren(...(message ? [icon("alert"), message] : []));
  byId("key").toggleAttribute("aria-invalid", Boolean(message));
  if (message) byId("key").setAttribute("aria-invalid", "true");
}

async function signIn(event) {
  event.preventDefault();
  const key = byId("key").value.trim();
  if (!key) {
    showKeyError("Type your API key.");
    byId("key").focus();
    return;
  }
  const button = byId("enter");
  button.disabled = true;
  try {
    await json("v1/models", { as: key });
    keepKey(key);
    byId("key").value = "";
    showKeyError("");
    showApp();
    // At once: whoever has gone on meanwhile keeps the focus.
    if (detail) detail.focus();
    else byId("choose").focus();
  } catch (error) {
    const wrong = error instanceof ApiError && error.refusesKey;
    showKeyError(wrong ? "This key is not accepted. Check it and try again." : error.message);
    byId("key").focus();
    byId("key").select();
  } finally {
    button.disabled = false;
  }
}

function showApp() {
  byId("sign-in").hidden = true;
  byId("app").hidden = false;
  byId("leave").hidden = false;
  fillModels().catch((error) => notify(error.message, { error: true }));
  list.start();
  route();
}

// --- what is open -----------------------------------------------------------------------------

function route() {
  if (!hasKey()) return;
  const id = /^#\/jobs\/([0-9a-z]+)$/.exec(location.hash)?.[1];
  if (id === detail?.id) return;
  close();
  if (!id) {
    list.markOpen(null);
    return;
  }
  const known = list.get(id);
  const file = uploads.files.get(id);
  detail = new Detail(id, {
    file,
    name: known?.name ?? file?.name,
    actions: {
      back: (from) => setTimeout(() => list.focus(from)),
      cancel,
      remove,
      confirm,
      changed: (job) => list.update(job),
      resume: (chosen, jobId) => uploads.resume(chosen, jobId),
      again: (chosen) => {
        location.hash = "#/";
        take([chosen]);
      },
      restart: (chosen, job) => {
        location.hash = "#/";
        take([chosen]);
        json(jobPath(job.job_id, "/cancel"), { method: "POST" }).catch(() => {});
      },
    },
  });
  byId("stage-empty").hidden = true;
  byId("stage-area").append(detail.element);
  document.body.classList.add("reading");
  list.markOpen(id);
  if (!WIDE.matches) {
    scrollTo(0, 0);
    detail.focus();
  }
  detail.run();
}

function close() {
  detail?.close();
  detail?.element.remove();
  detail = null;
  byId("stage-empty").hidden = false;
  document.body.classList.remove("reading");
  document.title = "Whisperdrop";
}

async function cancel(job) {
  const sure = await confirm({
    title: "Cancel this job?",
    text: [foreign(nameOf(job)), " will not be transcribed."],
    yes: "Cancel it",
    no: "Go on",
  });
  if (!sure) return;
  try {
    list.update(await json(jobPath(job.job_id, "/cancel"), { method: "POST" }));
    list.refresh();
  } catch (error) {
    notify(error.message, { error: true });
  }
}

async function remove(job) {
  const sure = await confirm({
    title: "Delete this transcript?",
    text: [foreign(nameOf(job)), ", its recording and its transcript are deleted for good."],
    yes: "Delete it",
  });
  if (!sure) return;
  try {
    // 202: a worker has to let go of it first.
    for (let tried = 0; tried < DELETE_TRIES; tried += 1) {
      if ((await request(jobPath(job.job_id), { method: "DELETE" })).status !== 202) break;
      await pause(1000);
    }
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 404)) {
      notify(error.message, { error: true });
      return;
    }
  }
  uploads.files.delete(job.job_id);
  list.forget(job.job_id);
  if (detail?.id === job.job_id) location.hash = "#/";
  notify("Deleted.");
  byId("search").focus({ preventScroll: true });
}

// --- what is dropped --------------------------------------------------------------------------

function take(files) {
  const chosen = [...files];
  if (!chosen.length) return;
  list.clearSearch();
  uploads.add(chosen, options());
}

function wireDropping() {
  const input = byId("files");
  byId("choose").addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    take(input.files);
    input.value = ""; // so that the same file may be chosen again
  });
  const carriesFiles = (event) => hasKey() && event.dataTransfer?.types.includes("Files");
  let depth = 0; // dragenter and dragleave come for every element on the way
  const mark = () => document.body.classList.toggle("dropping", depth > 0);
  addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    mark();
  });
  addEventListener("dragleave", (event) => {
    if (!carriesFiles(event)) return;
    depth = Math.max(0, depth - 1);
    mark();
  });
  addEventListener("dragover", (event) => {
    // Without this the browser would open the file in place of the page.
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    depth = 0;
    mark();
    if (hasKey()) take(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => {
    if (hasKey() && event.clipboardData?.files.length) take(event.clipboardData.files);
  });
}

// --- keys and theme ---------------------------------------------------------------------------

function wireKeys() {
  addEventListener("keydown", (event) => {
    if (event.isComposing || document.querySelector("dialog[open]")) return;
    const at = event.target;
    const typing = at.closest("textarea, select, [contenteditable], input:not([type=range], [type=checkbox])");
    if (event.ctrlKey && event.code === "Space" && detail) {
      event.preventDefault();
      detail.toggle();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && typing) {
      at.blur();
      return;
    }
    if (typing || !hasKey()) return;
    if (event.key === "/") {
      event.preventDefault();
      if (detail && !WIDE.matches) location.hash = "#/";
      byId("search").focus();
    } else if (event.key === "?") {
      byId("shortcuts").showModal();
    } else if (event.key === "Escape" && detail?.escape()) {
      event.preventDefault();
    } else if (event.key === "Escape" && detail) {
      const from = detail.id;
      location.hash = "#/";
      setTimeout(() => list.focus(from));
    } else if (detail) {
      // Space presses a button, and arrows move a slider, that has the focus.
      const pressed = event.key === " " && at.closest("button, a, input, label, summary");
      const moved = event.key.startsWith("Arrow") && at.closest("input");
      if (!pressed && !moved && detail.key(event)) event.preventDefault();
    }
  });
}

function wireTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const dark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const show = () => {
    byId("theme").replaceChildren(icon(dark() ? "sun" : "moon"));
    byId("theme").setAttribute("aria-pressed", String(dark()));
  };
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try {
      // As the system has it: then it follows the system again.
      if (dark() === system.matches) localStorage.removeItem("whisperdrop.theme");
      else localStorage.setItem("whisperdrop.theme", root.dataset.theme);
    } catch {
      // It lasts as long as the page then.
    }
    show();
  });
  system.addEventListener("change", () => {
    delete root.dataset.theme;
    show();
  });
  show();
}

// --- begin ------------------------------------------------------------------------------------

placeIcons(document);
wireDialogs();
wireDropping();
wireKeys();
wireTheme();
fillLanguages();
summarise();
byId("options").addEventListener("change", summarise);
byId("key-form").addEventListener("submit", signIn);
byId("options-form").addEventListener("submit", (event) => event.preventDefault());
byId("search-form").addEventListener("submit", (event) => event.preventDefault());
byId("leave").addEventListener("click", () => {
  keepKey(null);
  location.hash = "#/";
  showSignIn();
});
byId("help").addEventListener("click", () => byId("shortcuts").showModal());
onApi("refused", () => {
  if (!hasKey()) return;
  keepKey(null);
  showSignIn("Your key is not accepted any more. Type it again, or another one.");
});
onApi("offline", () => (byId("offline").hidden = false));
onApi("online", () => (byId("offline").hidden = true));
addEventListener("offline", () => (byId("offline").hidden = false));
addEventListener("online", () => list.refresh());
addEventListener("hashchange", route);

if (hasKey()) showApp();
else showSignIn();
