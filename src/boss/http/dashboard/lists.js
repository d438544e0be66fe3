// The overview's lists of active jobs, and of failed and abandoned ones.

import { el, setText } from "./dom.js";
import { askToStop } from "./dialogs.js";
import { lease } from "./lease.js";
import { jobLink, pill, sourceLink } from "./parts.js";
import { may } from "./rights.js";
import { href } from "./router.js";
import { ago, setTime } from "./times.js";
import { count, many } from "./words.js";

const link = (job) => el("td", { class: "job" }, jobLink(job.id), sourceLink(job.source));

function section(title, headings, none, all) {
  const note = el("span", { class: "note" });
  const body = el("tbody");
  const table = el("table", { class: "list" },
    el("thead", {}, el("tr", {}, headings.map((heading) => el("th", { scope: "col" }, heading === "" ? el("span", { class: "unseen" }, "Actions") : heading)))), body);
  const empty = el("p", { class: "empty" }, none);
  const scroll = el("div", { class: "scroll" }, table);
  const id = title.toLowerCase().replace(/\W+/g, "-");
  const more = el("a", { href: all, class: "all" }, "All of them");
  const element = el("section", { "aria-labelledby": id }, el("div", { class: "head" }, el("h2", { id }, title), note, more), scroll, empty);

  /** Show one row for each job. A row is made once, and kept as long as its job is in the list. */
  function show(jobs, made, make) {
    const fresh = new Map(jobs.map((job) => [`${job.id} ${job.attempt}`, job]));
    for (const key of made.keys()) if (!fresh.has(key)) made.delete(key);
    for (const [key, job] of fresh) if (!made.has(key)) made.set(key, make(job));
    const lines = [...fresh.keys()].map((key) => made.get(key).line);
    if (lines.length !== body.children.length || lines.some((line, place) => line !== body.children[place])) {
      body.replaceChildren(...lines);
    }
    scroll.hidden = !jobs.length;
    empty.hidden = jobs.length > 0;
    return fresh;
  }
  return { element, show, note };
}

export function activeJobs() {
  const made = new Map();
  const { element, show, note } = section("Active", ["Job", "Attempt", "Taken", "Last seen", "Lease", ""], "No job is active: no converter is at work now.", href("active"));
  let jobs = new Map();

  function make(job) {
    const [taken, seen] = [ago(null), ago(null)];
    const cell = (name, content) => el("td", { class: "time", "data-name": name }, content);
    const left = lease();
    const stop = may("administer", job.source)
      ? el("button", { class: "bad", "aria-label": `Stop ${job.id}`, onclick: () => askToStop({ ...job, state: "active" }, () => {}) }, "Stop") : null;
    const attempt = cell("attempt", `${job.attempt} of ${count(job.attempts)}`);
    return { line: el("tr", {}, link(job), attempt, cell("taken", taken), cell("seen", seen), el("td", {}, left.element), el("td", {}, stop)), taken, seen, left };
  }

  function tick() {
    for (const [key, job] of jobs) made.get(key).left.update(job);
  }

  function update(state) {
    jobs = show(state.active, made, make);
    const all = [...state.counts.values()].reduce((sum, counts) => sum + counts[1], 0);
    setText(note, all > state.active.length ? `the ${state.active.length} taken first, of ${count(all)}` : "");
    for (const [key, job] of jobs) {
      setTime(made.get(key).taken, job.taken);
      setTime(made.get(key).seen, job.seen);
    }
    tick();
  }
  return { element, update, tick };
}

export function failedJobs() {
  const made = new Map();
  const { element, show } = section("Failed and abandoned", ["Job", "Outcome", "After", "When", "Reason"], "None. Jobs that fail for good are listed here with their reasons.", href("failed"));

  function make(job) {
    return { line: el("tr", {}, link(job), el("td", {}, pill(job.outcome)), el("td", { class: "time" }, many(job.attempt, "attempt")),
      el("td", { class: "time" }, ago(job.finished)), el("td", { class: "reason" }, el("span", { class: "words", title: job.reason }, job.reason ?? ""))) };
  }
  return { element, update: (state) => void show(state.failed, made, make) };
}
