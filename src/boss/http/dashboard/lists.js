// The lists of active jobs, and of failed and abandoned ones.

import { el, setText } from "./dom.js";
import { askToStop } from "./dialogs.js";
import { at, count, duration, since } from "./words.js";

const link = (job) =>
  el("td", { class: "job" }, el("a", { class: "id", href: `#/job/${encodeURIComponent(job.id)}` }, job.id), el("span", { class: "source" }, job.source));

function section(title, headings, none) {
  const note = el("span", { class: "note" });
  const body = el("tbody");
  const table = el("table", { class: "list" },
    el("thead", {}, el("tr", {}, headings.map((heading) => el("th", { scope: "col" }, heading === "" ? el("span", { class: "unseen" }, "Actions") : heading)))), body);
  const empty = el("p", { class: "empty" }, none);
  const scroll = el("div", { class: "scroll" }, table);
  const id = title.toLowerCase().replace(/\W+/g, "-");
  const element = el("section", { "aria-labelledby": id }, el("div", { class: "head" }, el("h2", { id }, title), note), scroll, empty);

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

/** How much of a lease is left, as a bar and in words. */
export function lease() {
  const fill = el("i");
  const bar = el("div", { class: "bar" }, fill);
  const words = el("span", { class: "lease" });
  function update(job) {
    bar.hidden = job.until === null;
    if (job.until === null) return setText(words, "never ends");
    const left = -since(job.until);
    const whole = (Date.parse(job.until) - Date.parse(job.seen)) / 1000;
    const share = Math.max(0, Math.min(1, left / whole));
    fill.style.width = `${share * 100}%`;
    bar.classList.toggle("low", share < 1 / 3);
    bar.classList.toggle("out", share === 0);
    setText(words, left > 0 ? `${duration(left)} left` : "ran out");
  }
  return { element: el("div", {}, bar, words), update };
}

export function activeJobs() {
  const made = new Map();
  const { element, show, note } = section("Active", ["Job", "Attempt", "Taken", "Last seen", "Lease", ""], "No job is active: no converter is at work now.");
  let jobs = new Map();

  function make(job) {
    const [taken, seen] = [el("td", { class: "time", "data-name": "taken" }), el("td", { class: "time", "data-name": "seen" })];
    const left = lease();
    const stop = el("button", { class: "bad", "aria-label": `Stop ${job.id}`, onclick: () => askToStop({ ...job, state: "active" }, () => {}) }, "Stop");
    const attempt = el("td", { class: "time", "data-name": "attempt" }, `${job.attempt} of ${count(job.attempts)}`);
    return { line: el("tr", {}, link(job), attempt, taken, seen, el("td", {}, left.element), el("td", {}, stop)), taken, seen, left };
  }

  /** Update the ages, between events too. */
  function tick() {
    for (const [key, job] of jobs) {
      const row = made.get(key);
      setText(row.taken, job.taken ? `${duration(since(job.taken))} ago` : "");
      setText(row.seen, job.seen ? `${duration(since(job.seen))} ago` : "");
      row.left.update(job);
    }
  }

  function update(state) {
    jobs = show(state.active, made, make);
    const all = [...state.counts.values()].reduce((sum, counts) => sum + counts[1], 0);
    setText(note, all > state.active.length ? `the ${state.active.length} taken first, of ${count(all)}` : "");
    tick();
  }
  return { element, update, tick };
}

export function failedJobs() {
  const made = new Map();
  const { element, show } = section("Failed and abandoned", ["Job", "Outcome", "After", "When", "Reason"], "None. Jobs that fail for good are listed here with their reasons.");

  function make(job) {
    const when = el("td", { class: "time", title: at(job.finished) });
    const attempts = `${job.attempt} ${job.attempt === 1 ? "attempt" : "attempts"}`;
    const line = el("tr", {}, link(job), el("td", {}, el("span", { class: `pill ${job.outcome}` }, job.outcome)),
      el("td", { class: "time" }, attempts), when, el("td", { class: "reason" }, el("span", { title: job.reason }, job.reason ?? "")));
    return { line, when };
  }
  let jobs = new Map();
  const tick = () => jobs.forEach((job, key) => setText(made.get(key).when, `${duration(since(job.finished))} ago`));

  function update(state) {
    jobs = show(state.failed, made, make);
    tick();
  }
  return { element, update, tick };
}
