// Builds elements. Strings become text nodes, never markup: names of files and transcripts are
// written by strangers.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `attributes` are set as attributes; `on` holds event listeners, `data` the dataset,
 * and true or false adds or leaves out an attribute.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (name === "data") {
      Object.assign(element.dataset, value);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value != null) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

// Drawn for this page: lines on a grid of 24.
const ICONS = {
  alert: "M12 4 2.8 19.5h18.4zM12 10v4.5M12 17.2v.1",
  back: "M15 5l-7 7 7 7",
  check: "M5 12.5l4.5 4.5L19 7.5",
  clock: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 1 0 0-17zM12 7.5v5l3.2 2",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h10.5v10.5H9zM15 5.5V4.5H4.5V15h1",
  down: "M6 9.5l6 6 6-6",
  download: "M12 4v11M7 10.5l5 5 5-5M4.5 20h15",
  edit: "M4.5 19.5l1-4.5L16 4.5l3.5 3.5L9 18.5zM13.5 7l3.5 3.5",
  file: "M6 3.5h8l4.5 4.5v12.5H6zM14 3.5V8h4.5",
  forward: "M12 5.5a7 7 0 1 0 6.8 5.3M12 2.5l3.5 3-3.5 3",
  help: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 1 0 0-17zM9.5 9.7a2.5 2.5 0 1 1 3.6 2.3c-.8.4-1.1.9-1.1 1.8M12 16.6v.1",
  key: "M14.5 3.5a6 6 0 1 0 0 12 6 6 0 1 0 0-12zM10 14l-6 6M6.5 17.5l2 2M15.5 8.5v.1",
  leave: "M14 4.5H5v15h9M10 12h10M16.5 8l4 4-4 4",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z",
  pause: "M8.5 5.5v13M15.5 5.5v13",
  play: "M8 5l11 7-11 7z",
  retry: "M12 5.5a7 7 0 1 0 6.8 5.3M19 4.5v6.3h-6",
  rewind: "M12 5.5a7 7 0 1 1-6.8 5.3M12 2.5l-3.5 3 3.5 3",
  search: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 1 0 0-13zM15.5 15.5l5 5",
  stop: "M7 7h10v10H7z",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 1 0 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4",
  trash: "M4.5 7h15M9 7V4.5h6V7M6.5 7l1 13h9l1-13M10 11v5.5M14 11v5.5",
  upload: "M12 20V8.5M7 13l5-5 5 5M4.5 4h15",
};

/** A picture that says nothing a screen reader should read: its button or its text does. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** Puts icons where index.html asks for them with `data-icon`. */
export function placeIcons(root) {
  for (const place of root.querySelectorAll("[data-icon]")) place.prepend(icon(place.dataset.icon));
}

/** A button that shows an icon alone; `label` is its name. */
export function iconButton(name, label, click, attributes = {}) {
  return h(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, on: { click }, ...attributes },
    icon(name),
  );
}

/** A name that somebody else chose, kept from turning the text around it (Unicode bidi controls). */
export const foreign = (text) => h("bdi", {}, text);
