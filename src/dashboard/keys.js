// Keys: `/` to the search, `g` and a letter to a page, `?` for help. None while something is typed.

import { h } from "./dom.js";

const WITHIN_MS = 1500;

export function keys(jumps, search) {
  let waiting = 0;
  document.addEventListener("keydown", (event) => {
    const typed = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.key === "Escape" && typed && !typed.closest("dialog")) typed.blur();
    if (typed || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (Date.now() - waiting < WITHIN_MS) {
      const jump = jumps.find((it) => it.key === event.key);
      waiting = 0;
      if (jump) {
        event.preventDefault();
        location.hash = jump.path;
        return;
      }
    }
    if (event.key === "g") waiting = Date.now();
    else if (event.key === "/") {
      event.preventDefault();
      search();
    } else if (event.key === "?") help(jumps);
  });
}

export function help(jumps) {
  const row = (keys, what) => [h("dt", keys.map((key) => h("kbd", key))), h("dd", what)];
  const element = h("dialog.help", { "aria-label": "Keys", onclose: () => element.remove() },
    h("form", { method: "dialog" },
      h("h2", "Keys"),
      h("dl.keys", row(["/"], "search for an alarm, a ticket or a request"),
        row(["?"], "this help"), row(["Esc"], "leave a field, close a dialog"),
        row(["Tab"], "the next link, button or field"),
        jumps.map((it) => row(["g", it.key], it.label))),
      h("div.actions", h("button.primary", { type: "submit" }, "Close"))));
  document.body.append(element);
  element.showModal();
}
