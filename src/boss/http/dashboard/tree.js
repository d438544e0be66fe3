// The tree, as a table: one row for each source, one column for each state. An opened row shows the jobs with the source's greatest ids.

import * as boss from "./boss.js";
import { el, setText } from "./dom.js";
import { href, jobAddress, sourceAddress } from "./router.js";
import { spark } from "./spark.js";
import { count, duration, rate } from "./words.js";

const STATES = ["available", "active", "done"];
// How many sources are shown at first. The others are found by the filter.
const MOST = 100;
// How many jobs of each state an opened row shows.
const INSIDE = 8;

/** The section with the tree; `update(state)` shows the changes. */
export function tree() {
  const rows = new Map();
  let known = { counts: new Map(), hour: new Map() };
  let showAll = false;
  let arranged = 0;
  let shownSources = [];

  const filter = el("input", { type: "search", placeholder: "Source", "aria-label": "Show only sources with this in their name", oninput: () => arrange() });
  const totals = STATES.map(() => el("b", {}, "0"));
  const all = lines();
  const body = el("tbody");
  const more = el("div", { class: "more", hidden: true },
    el("button", { onclick: () => ((showAll = true), arrange()) }, ""));
  const head = el("tr", {},
    el("th", { scope: "col" }, "Source"),
    STATES.map((state, place) => el("th", { scope: "col", class: `number state ${state}` }, totals[place], state)),
    el("th", { scope: "col", class: "line" }, "Done a second, last hour", el("br"), all.done),
    el("th", { scope: "col", class: "line wait" }, "Wait before the take", el("br"), all.waited));
  const element = el("section", { class: "tree", "aria-labelledby": "tree" },
    el("div", { class: "head" }, el("h1", { id: "tree" }, "Jobs"), filter),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, head), body)), more);

  function lines() {
    return { done: el("span"), waited: el("span") };
  }

  function showLines(shown, hour) {
    if (shown.hour === hour) return;
    shown.hour = hour;
    if (!hour) {
      for (const place of [shown.done, shown.waited]) place.replaceChildren();
      return;
    }
    const now = hour.finished.at(-1) / 60;
    const waits = hour.waited.filter((seconds) => seconds != null);
    shown.done.replaceChildren(spark(hour.finished, "done"), `${rate(now)}/s`);
    shown.waited.replaceChildren(spark(hour.waited, "waited"), waits.length ? duration(waits.at(-1)) : "–");
  }

  function row(source) {
    const cells = STATES.map((state) => el("td", { class: `number ${state}` }));
    const shown = lines();
    const inside = el("td", { colspan: 6 });
    const detail = el("tr", { class: "inside", hidden: true }, inside);
    const toggle = el("button", { class: "plain toggle", "aria-expanded": "false", onclick: () => open(made.detail.hidden) }, source);
    const line = el("tr", {}, el("th", { scope: "row" }, toggle), cells,
      el("td", { class: "line" }, shown.done), el("td", { class: "line wait" }, shown.waited));
    const made = { line, detail, cells, shown, counts: null, fill };

    function open(opens) {
      detail.hidden = !opens;
      toggle.setAttribute("aria-expanded", String(opens));
      if (opens) fill();
    }

    async function fill() {
      const lists = await Promise.all(STATES.map(async (state, place) => {
        const jobs = made.counts[place] ? await boss.greatestIds(source, state, INSIDE).catch(() => []) : [];
        const left = made.counts[place] - jobs.length;
        const items = jobs.map((job) => el("li", {}, el("a", { class: "id", href: jobAddress(job.id) }, job.id)));
        if (left > 0) items.push(el("li", {}, el("a", { href: href("jobs", null, { source, state }) }, `${count(left)} more`)));
        return el("div", {}, el("h2", { class: `state ${state}` }, state), el("ol", {}, items.length ? items : el("li", {}, "none")));
      }));
      inside.replaceChildren(el("div", { class: "by-state" }, lists), el("p", { class: "links" }, el("a", { href: sourceAddress(source) }, `The page of ${source}`)));
    }
    return made;
  }

  /** Sort the sources, those with available or active jobs first. It runs only for a new source or filter, so rows stay put. */
  function arrange() {
    const wanted = filter.value.trim().toLowerCase();
    const sources = [...known.counts.keys()].filter((source) => source.toLowerCase().includes(wanted));
    const busy = (source) => known.counts.get(source)[0] + known.counts.get(source)[1] > 0;
    sources.sort((one, other) => busy(other) - busy(one) || (one < other ? -1 : 1));
    const shown = (shownSources = showAll ? sources : sources.slice(0, MOST));
    const fresh = shown.map((source) => {
      if (!rows.has(source)) rows.set(source, row(source));
      return rows.get(source);
    });
    body.replaceChildren(...fresh.flatMap((each) => [each.line, each.detail]));
    if (!shown.length) body.append(el("tr", {}, el("td", { colspan: 6, class: "note" }, `No source has “${filter.value}” in its name.`)));
    arranged = known.counts.size;
    filter.hidden = arranged < 12;
    more.hidden = shown.length === sources.length;
    setText(more.firstChild, `Show all ${count(sources.length)} sources`);
    showCounts();
  }

  function showCounts() {
    const sums = [0, 0, 0];
    for (const counts of known.counts.values()) counts.forEach((jobs, place) => (sums[place] += jobs));
    sums.forEach((jobs, place) => setText(totals[place], count(jobs)));
    showLines(all, known.hour.get(""));
    for (const source of shownSources) {
      const shown = rows.get(source);
      const counts = known.counts.get(source);
      const changed = shown.counts && shown.counts.some((jobs, place) => jobs !== counts[place]);
      shown.counts = counts;
      counts.forEach((jobs, place) => {
        setText(shown.cells[place], count(jobs));
        shown.cells[place].classList.toggle("zero", jobs === 0);
      });
      showLines(shown.shown, known.hour.get(source));
      if (changed && !shown.detail.hidden) shown.fill();
    }
  }

  function update(state) {
    known = state;
    if (known.counts.size !== arranged) arrange();
    else showCounts();
  }

  return { element, update };
}
