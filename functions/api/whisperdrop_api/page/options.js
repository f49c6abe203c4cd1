// How files are to be transcribed. The model list comes from the server, names of languages from
// the browser.

import { byId, h } from "./dom.js";
import { json } from "./api.js";

// As the server's own list; a test compares them.
export const LANGUAGES =
  "af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi " +
  "hr ht hu hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn " +
  "no oc pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi " +
  "yi yo yue zh";

const NAMES = new Intl.DisplayNames(undefined, { type: "language", fallback: "code" });
const OURS = { jw: "jv" }; // Whisper's code for Javanese is older than the standard's

export function languageName(code) {
  try {
    return NAMES.of(OURS[code] ?? code);
  } catch {
    return code;
  }
}

export function fillLanguages() {
  const named = LANGUAGES.split(" ").map((code) => [languageName(code), code]);
  named.sort(([a], [b]) => a.localeCompare(b));
  byId("language").append(...named.map(([name, code]) => h("option", { value: code }, name)));
}

export async function fillModels() {
  const { data } = await json("v1/models");
  const select = byId("model");
  const chosen = select.value;
  select.replaceChildren(...data.map((model) => h("option", { value: model.id }, model.id)));
  if (data.some((model) => model.id === chosen)) select.value = chosen;
  summarise();
}

/** Options of a new job, as the API takes them. */
export function options() {
  const chosen = {
    task: byId("task").value,
    word_timestamps: byId("words").checked,
  };
  if (byId("model").value) chosen.model = byId("model").value;
  if (byId("language").value) chosen.language = byId("language").value;
  if (byId("prompt").value.trim()) chosen.prompt = byId("prompt").value.trim();
  return chosen;
}

/** One line that says what is chosen, for whoever leaves the options closed. */
export function summarise() {
  const parts = [byId("model").value || "default model"];
  const language = byId("language");
  parts.push(language.value ? language.selectedOptions[0].textContent : "detect language");
  if (byId("task").value === "translate") parts.push("into English");
  byId("options-summary").textContent = parts.join(" · ");
}
