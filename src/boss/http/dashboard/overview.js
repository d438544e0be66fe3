// The overview: the numbers of all sources, what needs attention, the charts, and every source.

import { attention } from "./attention.js";
import { charts } from "./charts.js";
import { el, setChildren } from "./dom.js";
import { state } from "./feed.js";
import { numbers } from "./numbers.js";
import { href, replaceAddress } from "./router.js";
import { sourceList } from "./source_list.js";

const shell = (text) => el("pre", { tabindex: 0 }, text);

/** What to do first, where there is no source yet. */
function first() {
  const step = (title, ...content) => el("li", {}, el("b", {}, title), ...content);
  return el("section", { "aria-labelledby": "first" }, el("h1", { id: "first" }, "No job has been submitted yet"),
    el("ol", { class: "first" },
      step("Submit a job", el("p", {}, "with the button above, or from a shell. Its source, here freg, needs no preparation:"),
        shell(`curl -d '{"topic": "data"}' ${location.origin}/job/available/freg`)),
      step("Start a converter", el("p", {}, "which takes jobs of that source, one after the other, and gives each document to your program:"),
        shell(`boss work freg --url ${location.origin} -- ./convert.sh`)),
      step("Watch it here", el("p", {}, "This page shows the job as soon as it is there. Everything else that Boss can do is under ",
        el("a", { href: "/docs" }, "every request"), "."))));
}

export function overviewPage({ query }) {
  const asked = Object.fromEntries(["q", "sort", "page", "span"].map((name) => [name, query.get(name) ?? ""]));
  function changed(now) {
    Object.assign(asked, now);
    replaceAddress(href("", null, asked));
  }
  const parts = [numbers(), attention(), sourceList({ ...asked, changed }), charts({ span: asked.span, chosen: (span) => changed({ span: span === "hour" ? "" : span }) })];
  const some = el("div", { class: "overview" }, el("h1", { class: "unseen" }, "Overview"), parts.map((part) => part.element));
  const nothing = first();
  const element = el("div", { class: "contents" });
  function update() {
    setChildren(element, [state.sources.size ? some : nothing]);
    for (const part of parts) part.update();
  }
  update();
  return { title: null, element, update, tick: () => parts.forEach((part) => part.tick?.()) };
}
