// The numbers of all sources together, each a link to what it counts.

import { el, setText } from "./dom.js";
import { state } from "./feed.js";
import { name as named } from "./parts.js";
import { href } from "./router.js";
import { age, setTime } from "./times.js";
import { count, many } from "./words.js";

// A name that is longer is cut in a tile.
const SHORT = 14;
// A longer number has less room for each digit.
const LONG = 7;

const jobs = (query) => href("jobs", null, query);
const plus = (name, total) => (total.at_least.includes(name) ? "+" : "");

/** How many jobs of a source are ready, and how many would be if it were not paused; as text. */
export function readyOf(view) {
  const text = count(view.ready) + (view.at_least.includes("ready") ? "+" : "");
  return view.paused ? { ready: "0", paused: text } : { ready: text, paused: "0" };
}

/** What the sources say that is not in the total: jobs that would be ready if their sources were not paused, how many have ready and active ones, and whose first is the oldest. */
function ofSources() {
  const found = { paused: 0, withReady: 0, active: 0, oldest: null };
  for (const [name, view] of state.sources) {
    if (view.active) found.active++;
    if (view.paused) {
      found.paused += view.ready;
      continue;
    }
    if (view.ready) found.withReady++;
    if (view.oldest_ready && view.oldest_ready === state.total.oldest_ready) found.oldest = name;
  }
  return found;
}

export const FAILURES = "How often jobs failed or were abandoned. One that was redone and failed again counts again.";

/** A number with its name, and a line below it, which is in its hover where it is cut. */
export function tile(name, address, kind = "", title = null) {
  const whole = ({ target }) => (target.title = target.scrollWidth > target.clientWidth ? target.textContent : "");
  const called = el("span", { class: "name" }, name), value = el("b"), more = el("span", { class: "note", onmouseenter: whole });
  return { name: called, value, more, element: el(address ? "a" : "div", { class: `tile ${kind}`, href: address, title }, called, value, more) };
}

/** Show a number; null where something else shows it. */
export function setNumber({ value }, text) {
  if (text === null) return;
  setText(value, text);
  value.classList.toggle("long", text.length > LONG);
}

export function numbers() {
  const oldest = age(null);
  const tiles = {
    ready: tile("Ready", jobs({ state: "available" }), "available"),
    oldest: tile("Oldest ready", jobs({ state: "available" })),
    // No list has only these.
    delayed: tile("Delayed", null),
    paused: tile("Paused", href("sources", null, { q: "paused" })),
    active: tile("Active", href("active"), "active"),
    failed: tile("Failed, last hour", href("failed", null, { last: "1h" }), "", FAILURES),
    rate: tile("Last minute", null),
    converters: tile("At work", href("converters")),
  };
  const element = el("section", { class: "tiles", "aria-label": "All jobs" }, Object.values(tiles).map((each) => each.element));
  tiles.oldest.value.append(oldest, el("span"));
  function set(name, value, more) {
    setNumber(tiles[name], value);
    setText(tiles[name].more, more);
  }

  let first;
  /** Say which source has the oldest ready job. */
  function setFirst(source) {
    if (source === first) return;
    first = source;
    tiles.oldest.more.replaceChildren(...(source === null ? ["no job is ready"] : ["of ", named(source, "span", {}, SHORT)]));
    tiles.oldest.element.href = jobs({ state: "available", source });
  }

  function update() {
    const { total } = state;
    if (!total) return;
    const sums = ofSources();
    set("ready", count(total.ready - sums.paused) + plus("ready", total), `of ${many(sums.withReady, "source")}`);
    setTime(oldest, total.oldest_ready);
    setText(oldest.nextSibling, total.oldest_ready ? "" : "–");
    setFirst(sums.oldest);
    set("delayed", count(total.delayed) + plus("delayed", total), `${count(total.blocked)}${plus("blocked", total)} after others`);
    set("paused", count(sums.paused), `in ${many(total.paused, "source")}`);
    set("active", count(total.active), `of ${many(sums.active, "source")}`);
    set("failed", count(total.failed_hour), `${count(total.failed_day)} in a day`);
    tiles.failed.element.classList.toggle("bad", total.failed_hour > 0);
    set("rate", total.minute ? `+${count(total.in)}` : "–", total.minute ? `${count(total.out)} ended` : "not counted yet");
    const { working, heard } = total.converters;
    set("converters", count(working), heard < working ? `${count(heard)} with a name` : `of ${many(heard, "converter")}`);
  }
  update();
  return { element, update };
}
