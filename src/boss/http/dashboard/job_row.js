// A row of a list of jobs.

import { el, setChildren, setText } from "./dom.js";
import { state } from "./feed.js";
import { lease } from "./lease.js";
import { jobLink, pill, sourceLink } from "./parts.js";
import { ago, setTime } from "./times.js";
import { beginning, count, gist, LEASE_RAN_OUT, sentence } from "./words.js";

/** What there is to say of a job in this state. It is made anew when the job has moved. */
function about(job) {
  if (job.state === "active") {
    const left = lease();
    const by = job.converter ? el("span", { class: "note" }, `on ${job.converter}`) : null;
    return { element: el("div", {}, left.element, by), update: left.update };
  }
  const said = el("bdi", { class: "words" });
  function update(now) {
    const text = now.state === "done" ? now.reason || (now.isLost ? sentence(LEASE_RAN_OUT) : "") : waiting(now), shown = now.state === "done" ? gist(text) : text;
    setText(said, shown);
    said.title = text.length > 200 || shown !== text ? beginning(text, 1000) : "";
  }
  return { element: el("div", { class: "reason" }, said), update };
}

function waiting(job) {
  const why = [];
  if (job.blocked) why.push(`after ${job.after.slice(0, 3).join(", ")}${job.after.length > 3 ? ` and ${job.after.length - 3} more` : ""}`);
  if (job.due) why.push("delayed");
  if (job.priority) why.push(`priority ${count(job.priority)}`);
  if (job.before?.how) why.push(`before: ${job.before.how}${job.before.why ? `: ${job.before.why}` : ""}`);
  return why.join(", ");
}

/** What holds an available job back, in a word. */
function heldBy(job) {
  if (job.state !== "available") return null;
  if (state.sources.get(job.source)?.paused) return "paused";
  return job.blocked ? "after others" : job.due ? "delayed" : null;
}

/** The time that matters: when a job ended, was taken, will be due, or was submitted. */
function whenOf(job) {
  if (job.state === "done") return ["", job.finished];
  if (job.state === "active") return ["taken ", job.taken];
  return job.due ? ["due ", job.due] : ["submitted ", job.submitted];
}

/** A row; `box` is the cell that selects it, if rows can be selected. */
export function jobRow(job, box) {
  const what = el("td", { class: "what" }), attempt = el("td", { class: "time" }), time = ago(null), verb = el("span", { class: "note verb" });
  const rest = el("td", { class: "about" });
  let moved = "", told = null, current = job, held;
  /** Its state, and what holds it back: its source may be paused and resumed while it is shown. */
  function mark() {
    const now = heldBy(current);
    if (now === held) return;
    held = now;
    setChildren(what, [now ? el("span", { class: "pill", title: `available, but ${now}` }, now) : pill(current.outcome ?? current.state)]);
  }
  function update(now) {
    current = now;
    const state = `${now.state} ${now.outcome} ${now.attempt}`;
    if (state !== moved) {
      moved = state;
      held = undefined;
      told = about(now);
      setChildren(rest, [told.element]);
    }
    mark();
    setText(attempt, `${count(now.attempt)} of ${count(now.attempts)}`);
    const [word, at] = whenOf(now);
    setText(verb, word);
    setTime(time, at);
    told.update(now);
  }
  const line = el("tr", {}, box, el("td", { class: "job" }, jobLink(job.id), sourceLink(job.source)), what, attempt, el("td", { class: "time" }, verb, time), rest);
  update(job);
  return { line, update, tick: () => (mark(), current.state === "active" && told.update(current)) };
}
