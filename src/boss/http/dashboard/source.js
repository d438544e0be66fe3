// The page of one source: its numbers, why it needs attention, its rule, its charts, and why its jobs failed.

import { troubles } from "./attention.js";
import * as boss from "./boss.js";
import { charts } from "./charts.js";
import { confirm } from "./dialog.js";
import { askToSubmit } from "./dialogs.js";
import { el, say, setChildren, setText } from "./dom.js";
import { state } from "./feed.js";
import { filterOf } from "./finding.js";
import { groups } from "./groups.js";
import { FAILURES, readyOf, setNumber, tile } from "./numbers.js";
import { complaint, empty, page, section } from "./parts.js";
import { may } from "./rights.js";
import { go, href, jobAddress, replaceAddress } from "./router.js";
import { ruleButtons, rulePill, ruleWords } from "./rule.js";
import { age, ago, setTime } from "./times.js";
import { count, many } from "./words.js";

// How many failed jobs are grouped at first.
const SOME_FAILED = 100;

function askToForget(source) {
  confirm(`Delete the source ${source}?`, "Its rule and its counts are deleted. It must have no jobs.", "Delete it", async () => {
    await boss.send("DELETE", boss.path("source", source));
    say(`Deleted the source ${source}.`);
    state.counts.delete(source);
    state.sources.delete(source);
    go(href("sources"));
  }, true);
}

/** The button that deletes a source. While the source has jobs it only says why it cannot; it stays in reach of the keyboard. */
function forgetButton(source) {
  const button = el("button", { class: "bad", onclick: () => (button.ariaDisabled ? say(button.title) : askToForget(source)) }, "Delete");
  function update() {
    const jobs = (state.counts.get(source) ?? []).reduce((sum, each) => sum + each, 0);
    button.ariaDisabled = jobs ? "true" : null;
    button.title = jobs ? `A source with jobs cannot be deleted. ${source} has ${many(jobs, "job")}.` : "";
  }
  return { element: button, update };
}

/** The numbers of a source; `update(view)`. */
function numbersOf(source) {
  const jobs = (wanted) => href("jobs", null, { source, state: wanted });
  const oldest = age(null), asked = ago(null);
  const tiles = {
    ready: tile("Ready", jobs("available"), "available"),
    oldest: tile("Oldest ready", jobs("available")),
    // No list has only these.
    delayed: tile("Delayed", null),
    active: tile("Active", href("active", null, { source }), "active"),
    failed: tile("Failed, last hour", href("failed", null, { source, last: "1h" }), "", FAILURES),
    rate: tile("Last minute", null),
    done: tile("Done", jobs("done"), "done"),
    asks: tile("Converters", href("converters")),
  };
  tiles.oldest.value.append(oldest, el("span"));
  tiles.asks.more.append(el("span"), asked);
  const element = el("section", { class: "tiles", "aria-label": "Jobs" }, Object.values(tiles).map((each) => each.element));

  function update(view) {
    const plus = (name) => count(view[name]) + (view.at_least.includes(name) ? "+" : "");
    const set = (name, value, more) => {
      setNumber(tiles[name], value);
      if (more !== null) setText(tiles[name].more, more);
    };
    const { ready, paused } = readyOf(view);
    set("ready", ready, view.paused ? `${paused} paused` : "");
    setText(tiles.oldest.name, view.paused ? "Oldest paused" : "Oldest ready");
    setTime(oldest, view.oldest_ready);
    setText(oldest.nextSibling, view.oldest_ready ? "" : "–");
    set("oldest", null, view.oldest_ready ? "" : `no job is ${view.paused ? "paused" : "ready"}`);
    set("delayed", plus("delayed"), `${plus("blocked")} after others`);
    set("active", count(view.active), view.limit ? `of at most ${count(view.limit)}` : "");
    set("failed", count(view.failed_hour), `${count(view.failed_day)} in a day`);
    tiles.failed.element.classList.toggle("bad", view.failed_hour > 0);
    set("rate", `+${count(view.in)}`, `${count(view.out)} ended`);
    set("done", count(view.done), "");
    set("asks", view.asks ? "Asking" : view.active ? "At work" : "None", null);
    setText(tiles.asks.more.firstChild, view.asks ? "in the last 90 s" : view.asked ? "asked " : view.active ? "none asks now" : "nobody asks");
    setTime(asked, view.asks ? null : view.asked);
  }
  return { element, update };
}

/** Why its jobs failed in the last day, by reason. They are read once, and again when asked to. */
function failures(source) {
  const query = new URLSearchParams({ source, last: "1d" });
  const place = el("div");
  let shown = null;
  function read() {
    shown = groups("failed", query, filterOf("failed", query), SOME_FAILED);
    place.replaceChildren(shown.element);
  }
  read();
  const all = el("a", { href: href("failed", null, { source, last: "1d" }) }, "The failed jobs");
  const element = section("Failed in the last day", { tools: [el("button", { class: "plain link", onclick: read }, "Read again"), all], kind: "failures" }, place);
  return { element, update: () => shown.update() };
}

const NOTHING = { ready: 0, delayed: 0, blocked: 0, active: 0, done: 0, at_least: [], paused: false, limit: null, at_limit: false, oldest_ready: null,
  failed_hour: 0, failed_day: 0, in: 0, out: 0, asks: false, asked: null, attention: [] };

const isName = (source) => /^[A-Za-z0-9._-]{1,100}$/.test(source) && source !== "." && source !== "..";

/** A page that says why there is none of this source. */
function noPage(source, why) {
  const text = el("p", {}, why);
  return { title: source, element: page(source, [], text), update() {}, tick() {} };
}

/** The page of a source. */
export function sourcePage(address) {
  if (!isName(address.part)) return noPage(address.part, "No source can have this name: it takes 1 to 100 of A-Z a-z 0-9 . _ -");
  if (!may("read", address.part)) return noPage(address.part, "This token may not see a source of this name, or there is none.");
  return seenPage(address);
}

function seenPage({ part: source, query }) {
  const numbers = numbersOf(source), trouble = troubles(source);
  const needs = el("section", { class: "needs", "aria-label": "Needs attention" }, trouble.said, trouble.actions);
  const shown = charts({ source, span: query.get("span") ?? "", chosen: (span) => replaceAddress(href("source", source, { span: span === "hour" ? "" : span })) });
  const rule = el("div", { class: "rule" });
  const actions = el("div", { class: "actions" }), forget = forgetButton(source), failed = failures(source);
  const wrong = complaint();
  const links = el("p", { class: "links" }, el("a", { href: href("jobs", null, { source }) }, "All jobs"), el("a", { href: href("active", null, { source }) }, "Active jobs"),
    el("a", { href: href("failed", null, { source }) }, "Failed jobs"), el("a", { href: href("failed", null, { source, group: "reason" }) }, "Reasons of failures"));
  const crumbs = el("div", { class: "crumbs" }, el("a", { href: href("sources") }, "Sources"));
  const element = el("div", { class: "contents waiting" }, crumbs, el("div", { class: "title" }, el("h1", {}, source), actions), wrong.element,
    numbers.element, needs, shown.element, section("Rule", {}, rule), links, failed.element);
  let ruled = "", isRead = false, isUnread = false;

  // It is shown once all of it is known, so that nothing moves.
  const reveal = () => element.classList.toggle("waiting", !isRead || !(state.total || state.away));

  async function read() {
    isUnread = false;
    try {
      const row = (await boss.sources()).find((each) => each.source === source);
      show(row ?? null);
    } catch (error) {
      isUnread = boss.mayPass(error);
      if (!error.away) wrong.tell(error);
    }
    isRead = true;
    reveal();
  }

  function show(row) {
    if (!row) {
      wrong.tell({ message: `There is no source ${source} yet. Its first job makes it.` });
      row = { source, paused: false };
    } else wrong.tell(null);
    const words = ruleWords(row);
    setChildren(rule, words.length ? words.map(rulePill) : [empty("It has no rule: nothing holds its jobs back, and the server's defaults apply.")]);
    const ask = () => askToSubmit([source], (id) => go(jobAddress(id)), { like: { source, document: "{\n  \n}" } });
    const submit = may("submit", source) && el("button", { onclick: ask }, "Submit a job");
    const admin = may("administer", source) ? [...ruleButtons(row, read), forget.element] : [];
    setChildren(actions, [submit, ...admin].filter(Boolean));
  }

  function update() {
    const view = state.sources.get(source) ?? NOTHING;
    numbers.update(view);
    forget.update();
    trouble.update(view);
    needs.hidden = !view.attention.length;
    shown.update();
    failed.update();
    // Its rule may be changed elsewhere, too. The feed says only a part of it.
    const now = `${view.paused} ${view.limit}`;
    if (isUnread || (ruled && now !== ruled)) read();
    ruled = now;
    reveal();
  }
  update();
  // Of its rule the feed says only a part. Whoever comes back to the page sees all of it as it is now.
  return { title: source, element, update, tick() {}, again: read, ready: read() };
}
