// Lists of jobs: all of them, the active ones, the failed ones. Each has a filter, pages, and acts on many.

import { mayPass } from "./boss.js";
import { state } from "./feed.js";
import { el, setChildren, setText } from "./dom.js";
import { askToDownload } from "./download.js";
import { filterBar } from "./filters.js";
import { filterOf, findPage, wrongFilter } from "./finding.js";
import { groups } from "./groups.js";
import { jobRow } from "./job_row.js";
import { complaint, empty, page } from "./parts.js";
import { may } from "./rights.js";
import { go, href } from "./router.js";
import { selection } from "./selection.js";
import { table } from "./table.js";
import { toolbar } from "./toolbar.js";
import { count, many } from "./words.js";

const TITLES = { jobs: "Jobs", active: "Active jobs", failed: "Failed jobs" };
const NONE = {
  jobs: "No job matches.",
  active: "No job is active: no converter is at work now.",
  failed: "None. Jobs that fail for good, or are abandoned, are listed here with their reasons.",
};
// How often the active jobs are read again, in milliseconds. A list with large documents takes long, and is read less often.
const AGAIN = 3000, SHARE = 20;
// How long it takes at most until the feed has what was done here, in milliseconds.
const SETTLES = 5000;
// What a list of available jobs has.
const AVAILABLE = "Those that are delayed, after others or paused are available, too.";
// Which number of the feed a time of the filter has.
const SPANS = new Map([["1h", ["failed_hour", "hour"]], ["1d", ["failed_day", "day"]]]);
// The pages before this one, by the address of each page: Boss knows only the way forward.
const before = new Map();

/** The page of a kind of list: `jobs`, `active` or `failed`. */
export const jobsPage = (kind) => ({ query }) => {
  if (wrongFilter(kind, query)) return unclear(kind, query);
  return query.get("group") === "reason" ? grouped(kind, query) : list(kind, query);
};

/** The page of a filter that nobody can follow: it has no list, and nothing that acts on one. */
function unclear(kind, query) {
  const wrong = complaint();
  wrong.tell({ message: wrongFilter(kind, query) });
  return { title: TITLES[kind], element: page(TITLES[kind], [], filterBar(kind, query), wrong.element), update() {}, tick() {} };
}

/** What stands beside the title; `filter()` is that of what was read last. */
function tools(kind, query, filter) {
  const isGrouped = query.get("group") === "reason";
  const other = new URLSearchParams([...query].filter(([name]) => name !== "group" && name !== "after"));
  if (!isGrouped) other.set("group", "reason");
  // Only done jobs have a reason.
  if (!isGrouped && other.get("state") !== "done") other.delete("state");
  const group = kind !== "active" && el("a", { class: "button", href: href(kind, null, other) }, isGrouped ? "One by one" : "Group by reason");
  return [group, el("button", { onclick: () => askToDownload(filter()) }, "Download")].filter(Boolean);
}

/** The filter for done jobs alone: only they have a reason. */
function doneOf(kind, query) {
  const filter = filterOf(kind, query);
  filter.given.state = "done";
  return filter;
}

function grouped(kind, query) {
  const place = el("div");
  const fresh = el("button", { class: "fresh", hidden: true, onclick: () => read() }, "Show what is new");
  let filter = doneOf(kind, query), shown = null;
  const news = newsOf("failed", filter);
  function read() {
    news.seen();
    fresh.hidden = true;
    filter = doneOf(kind, query);
    shown = groups(kind, query, filter);
    place.replaceChildren(shown.element);
    return shown.ready;
  }
  const element = page(TITLES[kind], tools(kind, query, () => filter), filterBar(kind, query), place, fresh);
  function update() {
    shown.update();
    if (news.are()) fresh.hidden = false;
  }
  return { title: TITLES[kind], element, update, tick() {}, ready: read() };
}

/** Whether the feed says anything new of the jobs of a list since it was last `seen()`. */
function newsOf(kind, { given: { source, state: wanted } }) {
  let before = null;
  /** What the feed says of the jobs in this list: it changes when they do. */
  function ours() {
    // Done jobs are counted together. The feed names the last that failed.
    if (kind === "failed") return state.failed.find((job) => !source || job.source === source)?.finished ?? "";
    const place = ["available", "active", "done"].indexOf(wanted);
    const all = source ? [state.counts.get(source) ?? []] : [...state.counts.values()];
    return String(all.reduce((sum, each) => sum + (place < 0 ? each.reduce((one, other) => one + other, 0) : each[place] ?? 0), 0));
  }
  const known = () => (state.total ? ours() : null);
  function are() {
    // Before the first event nothing is known to be new. It may come while the list is read.
    before ??= known();
    return before !== known();
  }
  return { are, seen: () => (before = known()) };
}

function list(kind, query) {
  let filter = filterOf(kind, query);
  const after = query.get("after");
  const wrong = complaint();
  const acts = may("administer");
  const rows = selection(() => bar.update(rows.chosen));
  const shown = table({
    label: TITLES[kind],
    columns: [...(acts ? [[rows.all, "pick"]] : []), "Job", "State", "Attempt", "When", "About"],
    key: (job) => job.id,
    make: (job) => jobRow(job, acts ? rows.box(job) : null),
  });
  const bar = toolbar({ state: filter.given.state, filter: () => filter, clear: rows.clear, after: () => ((acted = Date.now()), read()) });
  const news = newsOf(kind, filter);
  const none = empty(...noneOf(kind, query));
  none.hidden = true;
  const fresh = el("button", { class: "fresh", hidden: true, onclick: () => (after ? go(href(kind, null, without(query, "after"))) : read()) }, "Show what is new");
  const how = el("p", { class: "note loading", role: "status" }, "Looking …");
  const foot = el("nav", { class: "pages", "aria-label": "Pages" });
  const section = el("section", { "aria-label": TITLES[kind] }, shown.element, none, foot);
  const element = page(TITLES[kind], tools(kind, query, () => filter), filterBar(kind, query), wrong.element, el("div", { class: "above" }, acts && bar.element, how),
    filter.given.state === "available" ? el("p", { class: "note" }, AVAILABLE) : null, section, fresh);
  let reading = false, next = 0, acted = -SETTLES, shownPage = null, isUnread = false;

  /** Whether the rows may change by themselves: nobody has selected, points at or goes through one. */
  const isQuiet = () => kind === "active" && !after && !rows.chosen.size && !shown.body.matches(":hover, :focus-within");

  async function read() {
    if (reading) return;
    reading = true;
    news.seen();
    const begun = Date.now();
    try {
      // "The last hour" goes on with it. What acts on the list is about what was read.
      const asked = filterOf(kind, query);
      const found = await findPage(asked, after);
      filter = asked;
      isUnread = false;
      wrong.tell(null);
      show(found);
      bar.element.hidden = false;
    } catch (error) {
      isUnread = !shownPage && mayPass(error);
      if (!error.away) refused(error);
    } finally {
      reading = false;
      next = Date.now() + Math.max(AGAIN, SHARE * (Date.now() - begun));
      how.classList.remove("loading");
    }
  }

  /** What Boss refuses to list it also refuses to act on. */
  function refused(error) {
    wrong.tell(error);
    setText(how, "");
    bar.element.hidden = error.status < 500;
  }

  function show({ jobs, next: following }) {
    shown.show(jobs);
    rows.keep(jobs);
    none.hidden = jobs.length > 0 || following !== null;
    fresh.hidden = true;
    shownPage = { jobs: jobs.length, next: following };
    tell();
    const address = following === null ? null : href(kind, null, withAfter(query, following));
    if (address) before.set(address, location.hash);
    setChildren(foot, pages(kind, query, address));
    foot.hidden = !foot.childNodes.length;
  }

  /** Say how many there are. The number of the feed comes and changes after the list. */
  function tell() {
    if (!shownPage || !wrong.element.hidden) return;
    const isMore = kind === "failed" && (after || shownPage.next !== null);
    setText(how, howMany(shownPage, after, orderOf(filter)) + (isMore ? howManyFailed(query) : ""));
  }

  /** Offer what is new. After an act of one's own the feed follows, and the list with it. */
  function look() {
    if (!news.are() || reading || isQuiet()) return;
    if (Date.now() < acted + SETTLES) read();
    else fresh.hidden = false;
  }

  /** Bring it up to date after an event. When the list could not be read, the event means that it may be there now. */
  function update() {
    if (isUnread) read();
    tell();
    look();
  }
  function tick() {
    for (const row of shown.rows.values()) row.tick();
    if (isQuiet() && Date.now() > next) read();
    look();
  }
  return { title: TITLES[kind], element, update, tick, escape: rows.clear, ready: read() };
}

/** The order of a list, where it is not that of time. */
const orderOf = ({ given, outcomes }) => (outcomes[0] || given.since || given.until || given.reason ? "" : ", greatest id first");

function howMany({ jobs, next }, after, order) {
  if (after) return `${many(jobs, "job")} on this page${order}${next === null ? "; it is the last one" : "; there are more"}.`;
  if (next !== null) return `${many(jobs, "job")} shown${order}; there are more.`;
  return ["", "The one job that matches."][jobs] ?? `All ${count(jobs)} jobs that match${order}.`;
}

/** How often jobs failed in the last hour or day, where the filter is no more than that: the feed has these numbers. */
function howManyFailed(query) {
  const last = query.get("last"), source = query.get("source");
  const isMore = [...query.keys()].some((name) => !["last", "source", "after"].includes(name) && query.get(name));
  const numbers = source ? state.sources.get(source) : state.total;
  if (isMore || !numbers || !SPANS.has(last)) return "";
  const [name, span] = SPANS.get(last);
  // A job that was redone and failed again has failed twice.
  return ` Jobs failed ${numbers[name] === 1 ? "once" : `${count(numbers[name])} times`} in the last ${span}.`;
}

/** What an empty list says. That a time has no jobs does not mean that all is well since. */
function noneOf(kind, query) {
  if (!hasFilter(query)) return [NONE[kind]];
  const all = el("a", { href: href(kind) }, "Show all");
  if (!query.get("until")) return ["No job matches this filter. ", all];
  const timeless = new URLSearchParams([...query].filter(([name]) => !["since", "until", "last", "after"].includes(name)));
  const newer = kind === "failed" ? "Newer ones may have failed: " : "There may be newer ones: ";
  return ["No job matches this filter with its times. ", newer, el("a", { href: href(kind, null, timeless) }, "look without the times"), " or ", all, "."];
}

const hasFilter = (query) => [...query.keys()].some((name) => name !== "after" && name !== "group");
const without = (query, name) => new URLSearchParams([...query].filter(([each]) => each !== name));
function withAfter(query, after) {
  const next = without(query, "after");
  next.set("after", after);
  return next;
}

/** The links to the first page, the one before and the next one. */
function pages(kind, query, next) {
  const here = location.hash;
  const first = query.get("after") && el("a", { class: "button", href: href(kind, null, without(query, "after")) }, "First page");
  const previous = before.get(here) && el("a", { class: "button", href: before.get(here) }, "Previous");
  return [first, previous, next && el("a", { class: "button next", href: next, rel: "next" }, "Next page")].filter(Boolean);
}
