// What happened to a job: one entry for the submit, one for each attempt, and one for what is to come.

import { el } from "./dom.js";
import { ago, moment } from "./times.js";
import { duration, LEASE_RAN_OUT, linesOf, sentence } from "./words.js";

const between = (from, to) => duration((Date.parse(to) - Date.parse(from)) / 1000);

/** The entries: a title, times with what happened then and by whom, how long it took, and why. */
function entries(job) {
  const all = [{ kind: "submitted", title: "Submitted", times: [["", job.submitted, job.submitted_by]] }];
  let waitedFrom = job.submitted;
  for (const before of job.history) {
    all.push(attempt(before, waitedFrom));
    waitedFrom = before.redone ?? before.ended;
    if (before.redone) all.push({ kind: "redone", title: "Made available again", times: [["", before.redone, before.redone_by]] });
  }
  // After a give-back or an expired lease, the last attempt is in the history already.
  if (job.taken && job.history.at(-1)?.attempt !== job.attempt) all.push(last(job, waitedFrom));
  else if (job.finished) all.push({ kind: job.outcome, title: sentence(job.outcome, ""), times: [[word(job), job.finished, job.finished_by]], why: reason(job) });
  if (job.state === "available" && job.due) all.push({ kind: "due", title: "Delayed", times: [["Not before", job.due]] });
  return all;
}

function attempt(before, waitedFrom) {
  const taken = before.taken && ["Taken", before.taken, before.by, before.converter];
  return {
    kind: before.how,
    title: before.attempt ? `Attempt ${before.attempt}` : sentence(before.how, ""),
    waited: before.taken && between(waitedFrom, before.taken),
    ran: before.taken && between(before.taken, before.ended),
    times: [taken, [sentence(before.how, ""), before.ended, before.given_back_by ?? before.ended_by]].filter(Boolean),
    why: before.why,
    uncounted: before.uncounted,
  };
}

function last(job, waitedFrom) {
  const times = [["Taken", job.taken, job.taken_by, job.converter]];
  if (job.finished) times.push([word(job), job.finished, job.finished_by]);
  const ran = job.finished ? between(job.taken, job.finished) : null;
  const kind = job.outcome ?? job.state;
  return { kind, title: `Attempt ${job.attempt}`, waited: between(waitedFrom, job.taken), ran, times, why: reason(job) };
}

const word = (job) => (job.outcome === "completed" ? "Finished" : sentence(job.outcome, ""));

function reason({ outcome, result }) {
  if (outcome === "abandoned" && result === null) return sentence(LEASE_RAN_OUT);
  if (outcome === "completed" || !outcome || result === null) return null;
  const said = outcome === "stopped" ? result.reason : result.error || result.reason;
  return typeof said === "string" && said ? said : null;
}

function draw(entry) {
  const took = [entry.waited && `waited ${entry.waited}`, entry.ran && `ran ${entry.ran}`, entry.uncounted && "does not count"].filter(Boolean).join(", ");
  const times = entry.times.map(([what, time, by, converter]) => el("div", { class: "time" }, what ? el("b", {}, `${what} `) : null, moment(time), " ",
    el("span", { class: "note" }, ago(time), by ? `, by ${by}` : "", converter ? `, on ${converter}` : "")));
  const why = typeof entry.why === "string" && entry.why ? el("span", { class: `reason ${linesOf(entry.why)}`, tabindex: 0, dir: "auto" }, entry.why) : null;
  return el("li", { class: entry.kind.replaceAll(" ", "-") }, el("h3", {}, entry.title, took ? el("span", { class: "note" }, ` ${took}`) : null), times, why);
}

/** The timeline of a job. An entry is drawn again only when it has changed. */
export function timeline() {
  const element = el("ol", { class: "timeline" });
  let drawn = [];
  function update(job) {
    const fresh = entries(job).map((entry) => ({ entry, text: JSON.stringify(entry) }));
    fresh.forEach((each, place) => {
      each.line = drawn[place]?.text === each.text ? drawn[place].line : draw(each.entry);
      if (element.children[place] !== each.line) element.children[place] ? element.children[place].replaceWith(each.line) : element.append(each.line);
    });
    while (element.children.length > fresh.length) element.lastChild.remove();
    drawn = fresh;
  }
  return { element, update };
}
