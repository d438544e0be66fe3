// All sources with their numbers, found by name, sorted by what one clicks on, a page at a time.

import { el, setChildren, setText } from "./dom.js";
import { state } from "./feed.js";
import { readyOf } from "./numbers.js";
import { empty, name as named, pill } from "./parts.js";
import { sourceAddress } from "./router.js";
import { sortChoice, sorter, table } from "./table.js";
import { age, now, setTime } from "./times.js";
import { count, many } from "./words.js";

// How many rows there are on a page, fewer on a phone: what is not shown costs nothing.
const ROWS = matchMedia("(max-width: 44rem)").matches ? 20 : 50;
const FIRST = "ready";
// The columns that sort, each by a number; the most comes first.
const BY = {
  ready: (view) => (view.paused ? 0 : view.ready),
  active: (view) => view.active,
  failed: (view) => view.failed_hour,
  oldest: (view) => (view.oldest_ready && !view.paused ? now() - Date.parse(view.oldest_ready) : -1),
  rate: (view) => view.in + view.out,
};
const HEADS = [["Source", "source", ""], ["Ready", "ready", "number"], ["Active", "active", "number"], ["Failed, last hour", "failed", "number"],
  ["Oldest ready", "oldest", "number"], ["In, out a minute", "rate", "number"]];

/** The order of the sources. Those that are alike in a number have the order of their names. */
function order(sort) {
  const by = sort.replace("-", ""), way = sort.startsWith("-") ? -1 : 1;
  const byName = ([one], [other]) => (one < other ? -1 : 1);
  if (!BY[by]) return (one, other) => way * byName(one, other);
  return (one, other) => way * (BY[by](other[1]) - BY[by](one[1])) || byName(one, other);
}

/** What is to be known of a source beside its numbers, in words. */
function marks(view) {
  return [
    ...view.attention.map(({ reason }) => reason).filter((reason) => reason !== "paused"),
    view.paused && (view.ready ? `${readyOf(view).paused} paused` : "paused"),
    view.at_limit && "at its limit",
    view.delayed && `${count(view.delayed)}${view.at_least.includes("delayed") ? "+" : ""} delayed`,
    view.blocked && `${count(view.blocked)}${view.at_least.includes("blocked") ? "+" : ""} after others`,
  ].filter(Boolean);
}

function row([source]) {
  const cell = (text) => el("td", { class: "number", "data-name": text });
  const ready = cell("ready"), active = cell("active"), failed = cell("failed"), oldest = age(null), rate = cell("in, out");
  const told = el("td", { class: "details marks" });
  const link = named(source, "a", { class: "go", href: sourceAddress(source) });
  const line = el("tr", {}, el("td", { class: "job" }, link), ready, active, failed, el("td", { class: "number", "data-name": "oldest" }, oldest), rate, told);
  let shown = null;
  function update([, view]) {
    // The feed brings another object for a source that has changed, so that the others cost nothing.
    if (view === shown) return;
    shown = view;
    for (const [place, jobs] of [[ready, readyOf(view).ready], [active, count(view.active)], [failed, count(view.failed_hour)]]) {
      setText(place, jobs);
      place.classList.toggle("zero", jobs === "0");
    }
    failed.classList.toggle("bad", view.failed_hour > 0);
    setTime(oldest, view.paused ? null : view.oldest_ready);
    setText(rate, `${count(view.in)}, ${count(view.out)}`);
    rate.classList.toggle("zero", !view.in && !view.out);
    const words = marks(view);
    if (words.join() !== [...told.children].map((each) => each.textContent).join()) {
      setChildren(told, words.map((each) => pill(each)));
    }
  }
  return { line, update };
}

/** The list; `changed({ q, sort, page })` is called when somebody searches, sorts or turns the page. */
export function sourceList({ q, sort, page, changed }) {
  const wanted = { q, sort: sort || FIRST, page: Math.max(1, Math.floor(Number(page)) || 1) };
  let found = [], at = 1;
  const filter = el("input", { type: "search", value: q, placeholder: "Name of a source", "aria-label": "Show only sources with this in their name",
    oninput: () => choose({ q: filter.value.trim(), page: 1 }) });
  const columns = HEADS.map(([, , kind]) => [el("span"), kind]);
  const choice = sortChoice(HEADS.map(([text, name]) => [text, name, name !== "source"]), (sort) => choose({ sort, page: 1 }));
  const shown = table({ label: "Sources", columns: [...columns, ""], key: ([source]) => source, make: row });
  const how = el("span", { class: "note", role: "status" });
  const again = el("button", { class: "plain link again", onclick: () => choose({ page: 1 }) }, "Sort again");
  const turn = (text, by) => el("button", { onclick: () => turnTo(at + by) }, text);
  const before = turn("Previous", -1), next = turn("Next", 1), where = el("span", { class: "note" });
  const none = el("div");
  const element = el("section", { class: "all-sources", "aria-labelledby": "all-sources" },
    el("div", { class: "head" }, el("h2", { id: "all-sources" }, "Sources"), how, again, filter, choice.element),
    shown.element, none, el("div", { class: "pages" }, before, where, next));

  function keep(now) {
    Object.assign(wanted, now);
    changed({ q: wanted.q, sort: wanted.sort === FIRST ? "" : wanted.sort, page: wanted.page > 1 ? wanted.page : "" });
  }

  function choose(now) {
    keep(now);
    arrange();
  }

  function turnTo(page) {
    keep({ page });
    show();
  }

  const matching = () => {
    const words = wanted.q.toLowerCase();
    return [...state.sources].filter(([source]) => source.toLowerCase().includes(words)).sort(order(wanted.sort));
  };

  /** Sort anew. Only a person does that, for rows must not move under their eyes. */
  function arrange() {
    choice.show(wanted.sort);
    HEADS.forEach(([text, name], place) => {
      const has = columns[place][0].contains(document.activeElement);
      columns[place][0].replaceChildren(sorter(text, name, wanted.sort, (sort) => choose({ sort, page: 1 }), name !== "source"));
      if (has) columns[place][0].firstChild.focus();
    });
    found = matching().map(([source]) => source);
    show();
  }

  function show() {
    const pages = Math.max(1, Math.ceil(found.length / ROWS));
    at = Math.min(wanted.page, pages);
    const first = (at - 1) * ROWS;
    const here = found.slice(first, first + ROWS);
    shown.show(here.map((source) => [source, state.sources.get(source)]));
    before.hidden = next.hidden = where.hidden = found.length <= ROWS;
    [before.disabled, next.disabled] = [at === 1, at === pages];
    setText(where, `${count(first + 1)} to ${count(first + here.length)} of ${count(found.length)}`);
    const all = state.sources.size;
    setText(how, wanted.q ? `${count(found.length)} of ${many(all, "source")}` : many(all, "source"));
    setChildren(none, found.length ? [] : [empty(`No source has “${wanted.q}” in its name.`)]);
    compare();
  }

  /** Offer to sort again when the order is not that of the numbers any more. */
  function compare() {
    const now = matching();
    again.classList.toggle("idle", now.every(([source], place) => source === found[place]));
    again.disabled = again.classList.contains("idle");
  }

  /** New sources come last, and those that are gone leave; the others stay where they are. */
  function update() {
    const known = new Set(found), words = wanted.q.toLowerCase();
    const fresh = [...state.sources.keys()].filter((source) => !known.has(source) && source.toLowerCase().includes(words));
    const gone = found.some((source) => !state.sources.has(source));
    if (!shown.rows.size && !found.length) return arrange();
    if (fresh.length || gone) {
      found = [...found.filter((source) => state.sources.has(source)), ...fresh];
      return show();
    }
    for (const [source, { update }] of shown.rows) update([source, state.sources.get(source)]);
    compare();
  }
  arrange();
  return { element, update };
}
