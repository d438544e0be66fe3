// Resources meant for programs, shown for a person. A browser may not open these addresses directly.

import * as boss from "./boss.js";
import { el, setText } from "./dom.js";
import { pretty } from "./words.js";

const TOLD = new Map([
  ["#/metrics", { title: "Metrics", address: "/metrics", read: (text) => text }],
  ["#/health", { title: "Health", address: "/health", read: pretty }],
]);

/** The view for this hash: the response of a resource, read once; null for any other hash. */
export function toldPage(hash) {
  const told = TOLD.get(hash);
  if (!told) return null;
  const text = el("pre", { tabindex: 0 });
  const element = el("div", { class: "contents" }, el("div", { class: "crumbs" }, el("a", { href: "#/" }, "All jobs")),
    el("h1", {}, told.title), text);
  boss.read(told.address).then((answer) => setText(text, told.read(answer)), (error) => setText(text, error.message));
  return { title: told.title, element, update() {}, tick() {} };
}
