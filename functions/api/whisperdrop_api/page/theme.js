// Not a module: it runs before the first paint, so that a dark page never flashes white.
"use strict";
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("whisperdrop.theme");
  } catch {
    // Storage may be forbidden; the system's setting counts then.
  }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
