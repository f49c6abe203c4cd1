// Copying, and saving in every format. Texts that were edited are rendered here, all others by
// the server.

import { EDITED_FORMATS, TYPES, render } from "./subtitles.js";
import { jobPath, request } from "./api.js";
import { h } from "./dom.js";
import { stem } from "./format.js";

export const FORMATS = [
  ["txt", "Plain text", "txt"],
  ["srt", "Subtitles (SubRip)", "srt"],
  ["vtt", "Subtitles (WebVTT)", "vtt"],
  ["tsv", "Table (tab-separated)", "tsv"],
  ["json", "JSON", "json"],
  ["verbose_json", "JSON (OpenAI)", "verbose.json"],
];

/** Save the job's transcript. `edits` may be null. */
export async function save(job, format, segments, edits) {
  const [, , extension] = FORMATS.find(([name]) => name === format);
  const name = `${stem(job.name || job.job_id)}.${extension}`;
  if (edits?.count && EDITED_FORMATS.includes(format)) {
    const type = `${TYPES[format]};charset=utf-8`;
    offer(new Blob([render(format, edits.apply(segments))], { type }), name);
    return;
  }
  const answer = await request(jobPath(job.job_id, "/transcript"), { query: { format, download: true } });
  offer(await answer.blob(), name);
}

function offer(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = h("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Put `text` on the clipboard. Throws where the browser does not allow it. */
export async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Without TLS browsers hide the clipboard; this old way still works.
  const field = h("textarea", { class: "off-screen", "aria-hidden": "true" });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("The browser does not let this page copy. Select the text instead.");
}
