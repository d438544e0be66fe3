// The keyboard: one can go through a list and open what it has without the mouse.

import { open } from "./dialog.js";
import { el } from "./dom.js";

const KEYS = [
  ["/", "Find a job by its id"],
  ["j, k", "The next row, the one before"],
  ["Enter", "Open the row"],
  ["x", "Select the row, or not"],
  ["?", "This list"],
  ["Escape", "Close a dialog, leave the search, or select nothing"],
];
const IN_FIELD = "input:not([type=checkbox]), textarea, select, dialog";

export function showKeys() {
  const list = el("dl", { class: "keys" }, KEYS.flatMap(([key, does]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, does)]));
  const close = el("button", { class: "main", onclick: () => dialog.close() }, "Close");
  const dialog = open("Keys", list, el("div", { class: "actions" }, close));
  close.focus();
}

// What `j` and `k` go through: links, and rows that have none.
const STOPS = "main a.go, main .list tbody tr:not(:has(a.go))";

/** Focus the link of the next row, or with -1 of the one before; the row itself if it has no link. */
function step(by) {
  const stops = [...document.querySelectorAll(STOPS)].filter((stop) => stop.checkVisibility());
  const row = document.activeElement.closest("tr, li");
  const here = stops.findIndex((stop) => stop === document.activeElement || (row && row.contains(stop)));
  const next = stops[here < 0 ? (by > 0 ? 0 : stops.length - 1) : Math.min(stops.length - 1, Math.max(0, here + by))];
  if (next?.matches("tr")) next.tabIndex = -1; // only then can it have the focus
  next?.focus();
}

const select = () => document.activeElement.closest("tr")?.querySelector("input.pick")?.click();

const DOES = new Map([["j", () => step(1)], ["k", () => step(-1)], ["x", select], ["?", showKeys], ["/", () => document.getElementById("id").focus()]]);

/** Listen to the keys; `escape()` is called where Escape closes no dialog and leaves no field. */
export function listenToKeys(escape) {
  addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (key === "Escape" && !target.closest("dialog")) return target.closest("#search") ? target.blur() : escape();
    if (target.closest(IN_FIELD) || document.querySelector("dialog[open]") || !DOES.has(key)) return;
    event.preventDefault();
    DOES.get(key)();
  });
}
