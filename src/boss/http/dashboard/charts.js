// The charts of the last hour or day, for one source or for all that one may see.

import * as boss from "./boss.js";
import { chart } from "./chart.js";
import { el, setText } from "./dom.js";
import { state } from "./feed.js";
import { complaint } from "./parts.js";

const SPANS = [["hour", "Hour"], ["day", "Day"]];
const PERCENTILES = (which) => [{ name: "median", key: `${which}_median`, kind: "one" }, { name: "95 %", key: `${which}_p95`, kind: "two" }];
const CHARTS = [
  { title: "Jobs", scale: "jobs", lines: [{ name: "submitted", key: "submitted", kind: "one" }, { name: "ended", key: "done", kind: "three" },
    { name: "failed", key: "failed", kind: "two" }] },
  { title: "Ready jobs", scale: "jobs", lines: [{ name: "waiting", key: "waiting", kind: "one" }] },
  { title: "Wait before the take", scale: "seconds", lines: PERCENTILES("wait") },
  { title: "Run time", scale: "seconds", lines: PERCENTILES("run") },
];

const addressOf = (source, span) => `${source === null ? "" : boss.path("source", source)}/history?span=${span}`;

/** The section with the charts; `chosen(span)` is called when somebody chooses the other span. */
export function charts({ source = null, span: first, chosen }) {
  let span = SPANS.some(([name]) => name === first) ? first : "hour", minute, asked = 0;
  const made = CHARTS.map(chart);
  const wrong = complaint();
  const about = el("span", { class: "note" });
  const buttons = SPANS.map(([name, text]) => el("button", { onclick: () => choose(name), "aria-label": `Show the last ${name}` }, text));
  const title = el("h2", { id: "charts" });
  const element = el("section", { class: "charts", "aria-labelledby": "charts" },
    el("div", { class: "head" }, title, about, el("div", { class: "switch", role: "group", "aria-label": "Span" }, buttons)),
    wrong.element, el("div", { class: "all" }, made.map((each) => each.element)));

  function choose(name) {
    span = name;
    tell();
    chosen(name);
    read();
  }

  function tell() {
    setText(title, `The last ${span}`);
    setText(about, span === "hour" ? "by minute" : "by ten minutes");
    buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(SPANS[place][0] === span)));
  }

  async function read() {
    const number = ++asked, wanted = span;
    try {
      const history = await boss.json("GET", addressOf(source, wanted));
      if (number !== asked) return; // the other span was chosen meanwhile
      made.forEach((each) => each.show(history));
      wrong.tell(null);
    } catch (error) {
      if (!error.away) wrong.tell(error);
    }
  }

  /** Read the history again when another minute was counted. */
  function update() {
    const now = state.total?.minute ?? null;
    if (now === minute) return;
    minute = now;
    read();
  }
  tell();
  return { element, update };
}
