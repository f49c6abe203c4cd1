// Questions, notices, and what a screen reader is told.

import { byId, h, iconButton } from "./dom.js";

/** Ask before something that cannot be undone. Resolves to true or false. */
export function confirm({ title, text, yes, no = "Keep it" }) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-text").replaceChildren(...text);
  byId("confirm-yes").textContent = yes;
  byId("confirm-no").textContent = no;
  dialog.returnValue = "";
  dialog.showModal();
  byId("confirm-no").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

export function wireDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    for (const button of dialog.querySelectorAll("[data-close]")) {
      button.addEventListener("click", () => dialog.close(button.dataset.close));
    }
    // A click beside the dialog is a click on its backdrop.
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close("");
    });
  }
}

/** Tell a screen reader, politely. */
export function announce(text) {
  const region = byId("announcer");
  region.replaceChildren(h("p", {}, text));
}

/** A notice at the edge of the page; errors stay until they are closed. */
export function notify(text, { error = false } = {}) {
  const notice = h(
    "div",
    { class: error ? "notice error" : "notice", role: error ? "alert" : "status" },
    h("p", {}, text),
    iconButton("close", "Close this notice", () => notice.remove()),
  );
  byId("notices").append(notice);
  while (byId("notices").childElementCount > 3) byId("notices").firstElementChild.remove();
  if (!error) setTimeout(() => notice.remove(), 5000);
}
