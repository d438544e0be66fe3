// What needs attention: sources with their reasons and what to do about them, and what the doctor has found.

import { el, setChildren, setText } from "./dom.js";
import { state } from "./feed.js";
import { name as named, pill } from "./parts.js";
import { may } from "./rights.js";
import { href, sourceAddress } from "./router.js";
import { askForRuleOf, resume } from "./rule.js";
import { since } from "./times.js";
import { count, many, sentence } from "./words.js";

// The reasons by weight. What is so now comes before what has failed some time ago.
const REASONS = ["failing", "stuck", "nobody asks", "has failed", "paused"];
// How long after its last failure a source still fails, in seconds.
const LATELY = 600;
// How many sources are shown at first: few where the charts and the list of all come below them.
const MOST = matchMedia("(max-width: 70rem)").matches ? 5 : 20;

// Where one taps, the last place that was tapped counts as hovered for ever.
const CAN_HOVER = matchMedia("(hover: hover)").matches;

/** Whether a source has failed lately. One that is not among the last failures has failed before all of these. */
function failsNow(source) {
  const last = state.failed.find((job) => job.source === source) ?? state.failed.at(-1);
  return last !== undefined && since(last.finished) < LATELY;
}

function rank([source, { attention }]) {
  const places = attention.map(({ reason }) => REASONS.indexOf(reason === "failing" && !failsNow(source) ? "has failed" : reason));
  const place = Math.min(...places);
  return [place, -attention[places.indexOf(place)].jobs];
}

/** The sources by weight. Each is ranked once: that looks through the last failures. */
function byWeight(sources) {
  const ranked = sources.map((each) => [...rank(each), each]);
  ranked.sort(([place, jobs, [name]], [otherPlace, otherJobs, [otherName]]) => place - otherPlace || jobs - otherJobs || (name < otherName ? -1 : 1));
  return ranked.map(([, , each]) => each);
}

/** What to do about a reason that no button beside it does. */
const advice = (reason, view) => ({
  stuck: view.at_limit ? "Raise the limit, or wait for its active jobs." : "Start more converters.",
  "nobody asks": "Start a converter for it.",
})[reason] ?? "";

/** What can be done about a reason, as links and buttons. Their names say of which source, for those who hear them. */
function acts(reason, source, view) {
  const of = (text) => ({ "aria-label": `${text} of ${source}` });
  const link = (text, address) => el("a", { class: "button", href: address, ...of(text) }, text);
  const admin = may("administer", source);
  if (reason === "failing") return [link("Reasons", href("failed", null, { source, last: "1h", group: "reason" }))];
  if (reason === "stuck" && view.at_limit && admin) return [el("button", { onclick: () => askForRuleOf(source, () => {}), ...of("Rule") }, "Rule"), link("Active jobs", href("active", null, { source }))];
  if (reason === "paused" && admin) return [el("button", { onclick: () => resume(source, () => {}), "aria-label": `Resume ${source}` }, "Resume")];
  if (reason === "stuck") return [link("Active jobs", href("active", null, { source }))];
  return [link("Ready jobs", href("jobs", null, { source, state: "available" }))];
}

function line(reason) {
  const text = el("span"), note = el("span", { class: "note" });
  return { element: el("p", {}, pill(reason), " ", text, " ", note), text, note };
}

/** What needs attention of one source; `update(view)`. */
export function troubles(source) {
  const said = el("div", { class: "said-of" }), actions = el("div", { class: "actions" });
  const lines = new Map();
  let shown = "", acting = "";
  function update(view) {
    const text = JSON.stringify([view.attention, view.at_limit]);
    if (text === shown) return;
    shown = text;
    for (const { reason, text } of view.attention) {
      if (!lines.has(reason)) lines.set(reason, line(reason));
      setText(lines.get(reason).text, sentence(text));
      setText(lines.get(reason).note, advice(reason, view));
    }
    setChildren(said, view.attention.map(({ reason }) => lines.get(reason).element));
    // The buttons stay as they are while the reasons do, so that none goes away under a finger.
    const reasons = JSON.stringify([view.attention.map(({ reason }) => reason), view.at_limit]);
    if (reasons !== acting) setChildren(actions, view.attention.flatMap(({ reason }) => acts(reason, source, view)));
    acting = reasons;
  }
  /** Say that it is over, where the lines stay for a while. */
  function end() {
    shown = "";
    setChildren(said, [el("p", { class: "note" }, "It needs no attention any more.")]);
  }
  return { said, actions, update, end };
}

function item(source) {
  const { said, actions, update, end } = troubles(source);
  const link = named(source, "a", { class: "go name", href: sourceAddress(source) });
  return { element: el("li", {}, el("div", {}, link, said), actions), update, end };
}

// What the doctor says of sources stands above, with what to do.
const OF_SOURCES = "sources to look after";
/** What the doctor has found: what it is, how it stands, and what to do. */
export const finding = ({ what, value, verdict, advice }) =>
  el("li", { class: "finding" }, el("div", {}, el("b", {}, sentence(what, "")),
    el("p", {}, pill(verdict), ` ${value}. `, advice ? el("span", { class: "note" }, sentence(advice)) : null)));

// How high the line with their number is at least, in pixels.
const LINE = 36;

/**
 * How many entries lie below the end of a part that scrolls, as a button that scrolls on; `unlisted()` are those without an entry.
 *
 * It covers the entry that the end would cut, so that none is seen in part.
 */
function below(body, unlisted) {
  const button = el("button", { class: "below", tabindex: -1, hidden: true, onclick: () => body.scrollBy({ top: body.clientHeight - 2 * LINE }) });
  function tell() {
    const { bottom } = body.getBoundingClientRect();
    const isMore = body.scrollTop + body.clientHeight < body.scrollHeight - 1;
    const hidden = isMore ? [...body.querySelectorAll("li")].map((entry) => entry.getBoundingClientRect()).filter((box) => box.bottom > bottom - LINE) : [];
    button.hidden = !hidden.length;
    if (!hidden.length) return;
    button.style.width = `${body.clientWidth}px`; // beside the scroll bar
    button.style.height = `${Math.max(LINE, bottom - hidden[0].top)}px`;
    setText(button, `${count(hidden.length + unlisted())} more below`);
  }
  body.addEventListener("scroll", tell, { passive: true });
  const sizes = new ResizeObserver(tell);
  for (const each of [body, ...body.children]) sizes.observe(each);
  return button;
}

export function attention() {
  const items = new Map();
  const list = el("ul", { class: "troubles", "aria-label": "Sources that need attention" });
  const found = el("ul", { class: "troubles", "aria-label": "What the doctor has found" });
  const verdict = el("span", { class: "verdict" });
  const how = el("span", { class: "note", role: "status" });
  const none = el("p", { class: "calm" });
  const more = el("button", { hidden: true, onclick: () => ((showAll = true), arrange()) });
  const body = el("div", { class: "body", tabindex: 0, role: "group", "aria-label": "What needs attention" }, none, list, el("div", { class: "more" }, more), found);
  const rest = below(body, () => sorted.length - list.children.length);
  const element = el("section", { class: "attention", "aria-labelledby": "attention" },
    el("div", { class: "head" }, el("h2", { id: "attention" }, "Needs attention"), how, verdict), body, rest);
  let showAll = false, findings = "", sorted = [], late = false;

  // Nothing moves under the mouse or the focus; it moves when they have left.
  const isBusy = () => (CAN_HOVER && list.matches(":hover")) || list.contains(document.activeElement);

  function arrange() {
    const shown = showAll ? sorted : sorted.slice(0, MOST);
    const names = new Set(shown.map(([source]) => source));
    for (const source of items.keys()) if (!names.has(source)) items.delete(source);
    for (const [source] of shown) if (!items.has(source)) items.set(source, item(source));
    for (const [source, view] of shown) items.get(source).update(view);
    setChildren(list, shown.map(([source]) => items.get(source).element));
    more.hidden = shown.length === sorted.length;
    setText(more, `Show all ${count(sorted.length)}`);
    list.hidden = !shown.length;
    late = false;
  }

  function inPlace() {
    const now = new Map(sorted);
    for (const [source, { update, end }] of items) {
      if (now.has(source)) update(now.get(source));
      else end();
    }
  }

  function doctor() {
    const text = JSON.stringify(state.doctor);
    if (text === findings) return;
    findings = text;
    verdict.className = `verdict ${state.doctor?.verdict ?? ""}`;
    setChildren(verdict, state.doctor ? [el("a", { href: href("health") }, "The doctor says:"), " ", el("b", {}, state.doctor.verdict)] : []);
    found.replaceChildren(...(state.doctor?.findings ?? []).filter(({ what }) => what !== OF_SOURCES).map(finding));
    found.hidden = !found.children.length;
  }

  function update() {
    sorted = byWeight([...state.sources].filter(([, view]) => view.attention.length));
    late = isBusy();
    if (late) inPlace();
    else arrange();
    const paused = sorted.filter(([, view]) => view.attention[0].reason === "paused").length;
    setText(how, [many(sorted.length - paused, "source"), paused ? `${count(paused)} paused` : ""].filter(Boolean).join(", "));
    doctor();
    none.hidden = sorted.length > 0;
    setText(none, "No source needs attention: none fails, none is stuck, and somebody asks for every ready job.");
  }
  return { element, update, tick: () => late && !isBusy() && arrange() };
}
