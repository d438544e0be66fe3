// The overview: the tree of sources and states, with the active jobs and the last failures.

import { el } from "./dom.js";
import { state } from "./feed.js";
import { activeJobs, failedJobs } from "./lists.js";
import { tree } from "./tree.js";

export function overviewPage() {
  const parts = [tree(), activeJobs(), failedJobs()];
  const nothing = el("section", {}, el("h1", {}, "No job has been submitted yet"),
    el("div", { class: "empty" }, "Submit the first one with the button above, or from a shell:", el("br"),
      el("pre", { tabindex: 0 }, `curl -d '{"topic": "data"}' ${location.origin}/job/available/freg`)));
  const element = el("div", { class: "contents" });
  function update() {
    const some = state.counts.size > 0;
    const wanted = some ? parts.map((part) => part.element) : [nothing];
    if (wanted[0] !== element.firstChild) element.replaceChildren(...wanted);
    for (const part of parts) part.update(state);
  }
  update();
  return { title: null, element, update, tick: () => parts.forEach((part) => part.tick?.()) };
}
