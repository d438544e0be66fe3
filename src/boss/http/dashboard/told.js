// Resources meant for programs, shown for a person. A browser may not open these addresses directly.

import * as boss from "./boss.js";
import { el, setText } from "./dom.js";
import { pretty } from "./json.js";

const TOLD = new Map([
  ["metrics", { title: "Metrics", address: "/metrics", read: (text) => text }],
  ["health", { title: "Health", address: "/health", read: pretty }],
]);

/** The page with the response of a resource, read once. */
export function toldPage({ name }) {
  const told = TOLD.get(name);
  const text = el("pre", { class: "text", tabindex: 0 });
  const element = el("div", { class: "contents" }, el("h1", {}, told.title), el("section", { class: "told", "aria-label": told.title }, text));
  const ready = boss.read(told.address).then((answer) => setText(text, told.read(answer)), (error) => setText(text, error.message));
  return { title: told.title, element, update() {}, tick() {}, ready };
}
