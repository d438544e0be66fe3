// The page of one job. It holds still: of what is shown, only that is drawn again which has changed.

import * as boss from "./boss.js";
import { askToChange, askToDelete, askToGiveBack, askToRedo, askToStop, askToSubmitAgain } from "./dialogs.js";
import { el, say, setChildren, setText } from "./dom.js";
import { state } from "./feed.js";
import { jsonTree } from "./json_tree.js";
import { lease } from "./lease.js";
import { jobLink, pill, section, sourceLink } from "./parts.js";
import { reader } from "./reading.js";
import { may } from "./rights.js";
import { go, href, jobAddress } from "./router.js";
import { timeline } from "./timeline.js";
import { ago, moment, setTime, withMoments } from "./times.js";
import { count, duration } from "./words.js";

function buttons({ job, raw }, again) {
  const admin = may("administer", job.source), submits = may("submit", job.source);
  const button = (text, act, kind = "") => el("button", { class: kind, onclick: act }, text);
  const wrong = (error) => say(error.message);
  const stop = admin && button("Stop", () => askToStop(job, again), "bad");
  if (job.state === "available") return [submits && button("Change", () => askToChange(job, again).catch(wrong)), stop].filter(Boolean);
  if (job.state === "active") return [admin && button("Give back", () => askToGiveBack(job, again)), stop].filter(Boolean);
  const visit = (id) => go(jobAddress(id));
  return [
    admin && button("Redo", () => askToRedo(job, again)),
    submits && button("Submit again", () => askToSubmitAgain(job, raw.job, [...state.counts.keys()], visit)),
    admin && button("Delete", () => askToDelete(job, again), "bad"),
  ].filter(Boolean);
}

/** The title with the states and the buttons. They are made anew when the job has moved. */
function heading(id, again) {
  const pills = el("span", { class: "pills" }), actions = el("div", { class: "actions" });
  let shown = "";
  function update(found) {
    const { state, outcome, attempt } = found.job;
    const now = `${state} ${outcome} ${attempt}`;
    if (now === shown) return;
    shown = now;
    pills.replaceChildren(...[state, outcome].filter(Boolean).map(pill));
    actions.replaceChildren(...buttons(found, again));
  }
  return { element: el("div", { class: "title" }, el("h1", { class: "id" }, id), pills, actions), update };
}

/** What is known of a job, but for what happened to it. */
function facts() {
  const known = new Map();
  const element = el("dl");
  const left = lease();
  function row(name, value) {
    if (!known.has(name)) known.set(name, [el("dt", {}, name), el("dd", {})]);
    const [, place] = known.get(name);
    if (value instanceof Element) setChildren(place, [value]);
    else setText(place, value);
    return known.get(name);
  }
  const seen = ago(null), expires = moment(null), after = el("span", { class: "after" });
  /** Links to the jobs that it comes after. They never change. */
  function afterOf(job) {
    if (!after.childNodes.length) after.append(...job.after.map((id) => jobLink(id)));
    return after;
  }
  function update(job) {
    const rows = [row("Priority", count(job.priority)), row("Attempts", `${job.attempt} of ${count(job.attempts)}`)];
    if (job.after.length) rows.push(row("After", afterOf(job)));
    if (job.timeout) rows.push(row("Timeout of an attempt", duration(job.timeout)));
    if (job.expires && job.state === "available" && !job.attempt) rows.push(row("Expires", setTime(expires, job.expires)));
    if (job.state === "active") {
      if (job.seen) rows.push(row("Last seen", setTime(seen, job.seen)));
      if (job.converter) rows.push(row("Converter", job.converter));
      rows.push(row("Lease", left.element));
      left.update(job);
    }
    setChildren(element, rows.flat());
  }
  return { element, update, tick: left.update };
}

/** A part of the page that shows JSON; it is hidden when there is none. */
function jsonPart(title) {
  const element = el("div", { hidden: true });
  let shown = "", tree = null;
  function update(text, called = title) {
    const some = text !== undefined && text !== "null";
    if (element.hidden === some) element.hidden = !some;
    if (!some) return;
    if (called === shown) return tree.update(text);
    shown = called;
    tree = jsonTree(text);
    element.replaceChildren(section(called, { tools: tree.tools }, tree.element));
  }
  return { element, update };
}

function missing(id, error) {
  const isSource = error.status === 404 && state.counts.has(id);
  return [
    el("h1", {}, error.status === 404 ? `There is no job ${id}` : "That cannot be shown"),
    el("p", { class: "note" }, error.status === 404 ? "Perhaps it was deleted, or was done so long ago that it is not kept any more." : error.message),
    isSource ? el("p", {}, "There is a source of this name: ", sourceLink(id)) : null,
  ].filter(Boolean);
}

/** The page of the job with this id. */
export function jobPage({ part: id }) {
  const from = reader(id);
  const head = heading(id, () => update(true)), happened = timeline(), known = facts();
  const why = el("p", { class: "why", hidden: true });
  const [result, note, document] = ["Result", "Note", "Document"].map(jsonPart);
  const source = el("span");
  const crumbs = el("div", { class: "crumbs" }, el("a", { href: href("jobs") }, "All jobs"), source);
  const columns = el("div", { class: "columns" },
    el("div", {}, section("History", {}, happened.element), section("Properties", {}, known.element)),
    el("div", {}, result.element, note.element, document.element));
  const content = [head.element, why, columns];
  const element = el("div", { class: "contents" }, crumbs);
  let current = null, last = 0, reading = false, hurry = false, wrong = "", said = null;

  function draw(found) {
    const { job, raw } = found;
    if (current === null) source.replaceChildren(" / ", sourceLink(job.source));
    if (current !== found) {
      head.update(found);
      happened.update(job);
      if (job.why !== said) why.replaceChildren("Why nobody has it yet: ", ...withMoments(job.why ?? ""), ".");
      said = job.why;
      why.hidden = !job.why;
      result.update(raw.result, job.state === "done" ? "Result" : "Result of an earlier attempt");
      note.update(raw.note);
      document.update(raw.job);
    }
    known.update(job);
    current = found;
    setChildren(element, [crumbs, ...content]);
  }

  async function update(at = false) {
    if (reading || (!at && Date.now() < last + from.pause(hurry))) return;
    [reading, hurry] = [true, false];
    try {
      draw(await from.read());
      wrong = "";
    } catch (error) {
      // When no response came, the header shows it.
      if (!error.away && wrong !== error.message) element.replaceChildren(crumbs, ...missing(id, error));
      if (!error.away) wrong = error.message;
    } finally {
      [reading, last] = [false, Date.now()];
    }
  }

  let counts = "";
  /** The feed says that something has changed: look at once if it was about this source. */
  function changed() {
    const now = String(state.counts.get(current?.job.source) ?? "");
    hurry ||= now !== counts;
    counts = now;
    update();
  }
  function tick() {
    if (current?.job.state === "active") known.tick(current.job);
    update();
  }
  const ready = update(true);
  return { title: id, element, update: changed, tick, ready };
}
