// The view of one job: its properties, its history, its result, and the actions on it.

import * as boss from "./boss.js";
import { askToGiveBack, askToStop, askToSubmitAgain } from "./dialogs.js";
import { el } from "./dom.js";
import { lease } from "./lists.js";
import { at, count, duration, members, pretty, since } from "./words.js";

const visit = (id) => (location.hash = `#/job/${encodeURIComponent(id)}`);

function buttons(job, document, again) {
  const stop = el("button", { class: "bad", onclick: () => askToStop(job, again) }, "Stop");
  if (job.state === "available") return [stop];
  if (job.state === "active") return [el("button", { onclick: () => askToGiveBack(job, again) }, "Give back"), stop];
  return [el("button", { onclick: () => askToSubmitAgain(job, document, visit) }, "Submit again")];
}

function history(job) {
  const happened = [
    ["Submitted", job.submitted, job.submitted_by],
    ["Not before", job.due],
    ...job.history.flatMap((before) => [
      [`Taken, attempt ${before.attempt}`, before.taken, before.by],
      [sentence(before.how, ""), before.ended, before.given_back_by, before.why],
    ]),
    // After a give-back or an expired lease, the last attempt is in the history already.
    job.history.at(-1)?.attempt === job.attempt ? [] : [job.attempt > 1 ? `Taken, attempt ${job.attempt}` : "Taken", job.taken, job.taken_by],
    ["Last seen", job.seen],
    [job.outcome === "stopped" ? "Stopped" : "Finished", job.finished, job.finished_by, job.outcome === "stopped" ? job.result?.reason : null],
  ].filter(([, time]) => time);
  const terms = happened.flatMap(([name, time, who, why]) => {
    const seconds = since(time);
    const ago = seconds < 0 ? `in ${duration(-seconds)}` : `${duration(seconds)} ago`;
    const said = typeof why === "string" && why !== "" ? el("span", { class: "reason" }, why) : null;
    return [el("dt", {}, name), el("dd", {}, at(time), el("span", { class: "note" }, who ? `${ago}, by ${who}` : ago), said)];
  });
  const more = [["Priority", count(job.priority)], ["Attempts", `${job.attempt} of ${count(job.attempts)}`]];
  if (job.after.length) more.push(["After", job.after.join(", ")]);
  if (job.timeout) more.push(["Timeout of an attempt", duration(job.timeout)]);
  if (job.expires && job.state === "available" && !job.attempt) more.push(["Expires", `in ${duration(-since(job.expires))}`]);
  const dl = el("dl", {}, terms, more.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  if (job.state === "active") {
    const left = lease();
    left.update(job);
    dl.append(el("dt", {}, "Lease"), el("dd", {}, left.element));
  }
  return dl;
}

const part = (title, ...content) => el("section", {}, el("h2", {}, title), content);
const sentence = (text, end = ".") => text[0].toUpperCase() + text.slice(1) + end;

/** The view of one job; `update()` reads it again. */
export function jobPage(id) {
  const element = el("div", { class: "contents" });
  let shown = "";

  function draw(text) {
    const job = JSON.parse(text);
    const raw = members(text);
    const title = el("div", { class: "title" },
      el("h1", { class: "id" }, job.id),
      el("span", { class: `pill ${job.state}` }, job.state),
      job.outcome ? el("span", { class: `pill ${job.outcome}` }, job.outcome) : null,
      el("div", { class: "actions" }, buttons(job, raw.job, update)));
    const crumbs = el("div", { class: "crumbs" }, el("a", { href: "#/" }, "All jobs"), ` / ${job.source}`);
    const why = job.why ? el("p", { class: "why" }, "Why nobody has it yet: ", sentence(job.why)) : null;
    const result = job.result === null ? null : part("Result", el("pre", { tabindex: 0 }, pretty(raw.result)));
    const note = job.note === null ? null : part("Note", el("pre", { tabindex: 0 }, pretty(raw.note)));
    element.replaceChildren(...[crumbs, title, why].filter(Boolean), el("div", { class: "columns" },
      el("div", {}, part("History", history(job))),
      el("div", {}, result, note, part("Document", el("pre", { tabindex: 0 }, pretty(raw.job))))));
  }

  function drawError(error) {
    const back = el("a", { href: "#/" }, "All jobs");
    element.replaceChildren(el("div", { class: "crumbs" }, back), el("h1", {}, error.status === 404 ? `There is no job ${id}` : "That cannot be shown"),
      el("p", { class: "note" }, error.message));
  }

  async function update() {
    try {
      const text = await boss.find(id);
      // Draw it anew only when it has changed, so that the focus and the selection stay.
      if (text !== shown) draw(text);
      shown = text;
    } catch (error) {
      shown = "";
      if (!(error instanceof TypeError)) drawError(error); // a TypeError: no response came, which the header shows
    }
  }

  const tick = () => shown && !element.contains(document.activeElement) && draw(shown);
  update();
  return { element, update, tick };
}
