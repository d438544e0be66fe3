// Resources meant for programs, shown for a person. A browser may not open these addresses directly.

import * as boss from "./boss.js";
import { finding } from "./attention.js";
import { el } from "./dom.js";
import { pretty } from "./json.js";
import { section } from "./parts.js";

const text = (content) => el("pre", { class: "text", tabindex: 0 }, content);

/** The diagnosis as a list, what is not well first, and as Boss answers it. */
function health(answer) {
  const { verdict, findings } = JSON.parse(answer);
  const [well, rest] = [true, false].map((is) => findings.filter((each) => (each.verdict === "well") === is));
  return [
    section(`The doctor says: ${verdict}`, {}, el("ul", { class: "troubles" }, [...rest, ...well].map(finding))),
    el("section", { class: "told", "aria-label": "As JSON" }, el("details", {}, el("summary", {}, "As JSON"), text(pretty(answer)))),
  ];
}

const TOLD = new Map([
  ["metrics", { title: "Metrics", address: "/metrics", show: (answer) => [el("section", { class: "told", "aria-label": "Metrics" }, text(answer))] }],
  ["health", { title: "Health", address: "/health", show: health }],
]);

/** The page with the response of a resource, read once. */
export function toldPage({ name }) {
  const told = TOLD.get(name);
  const element = el("div", { class: "contents" }, el("h1", {}, told.title));
  const wrong = (error) => el("p", { class: "wrong", role: "alert" }, error.message);
  const ready = boss.read(told.address).then((answer) => element.append(...told.show(answer)), (error) => element.append(wrong(error)));
  return { title: told.title, element, update() {}, tick() {}, ready };
}
