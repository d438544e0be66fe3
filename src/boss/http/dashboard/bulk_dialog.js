// The dialog of an act on many jobs: it counts them, asks, says how far it is, and what came of it.

import { explained, field, line, open } from "./dialog.js";
import { el, say, setText } from "./dom.js";
import { complaint } from "./parts.js";
import { count, many } from "./words.js";

// How many errors are shown one by one.
const ERRORS = 5;

/** How many jobs a request is about, as far as they were counted. */
function title(act, { jobs, isAll, sources }) {
  const of = sources > 1 ? ` of ${many(sources, "source")}` : "";
  return `${act.name} ${isAll ? "" : "at least "}${many(jobs, "job")}${of}?`;
}

/** How many of those that are selected are left out, and why. */
function unfit(left) {
  if (!left) return "";
  const are = left === 1 ? "it is" : "they are";
  return ` ${many(left, "selected job")} cannot be: ${are} in another state, or not this token's.`;
}

/** The first errors, and how many more there are. */
const some = (errors) => errors.slice(0, ERRORS).join("\n") + (errors.length > ERRORS ? `\nand ${errors.length - ERRORS} more` : "");

const noneOf = (act) => `No job matches. To ${act.name.toLowerCase()} is for ${act.from === "done" ? "done" : "available and active"} jobs.`;

/** Count with `counting`, ask, and act with `run`; `after()` is called when something was done. */
export function confirmMany(act, { counting, run, after }) {
  let cancelled = false;
  const text = el("p", {}, "Counting …");
  const why = act.asksWhy ? field("Reason, which is kept with each job", line("reason", { maxlength: 500 })) : null;
  const wrong = complaint();
  const cancel = el("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const send = el("button", { class: act.danger ? "main danger" : "main", disabled: true, onclick: act_ }, act.does);
  const dialog = open(`${act.name} …`, text, why, wrong.element, el("div", { class: "actions" }, cancel, send));
  const heading = dialog.querySelector("h2");
  text.setAttribute("role", "status");
  dialog.classList.add("many");
  dialog.addEventListener("close", () => (cancelled = true));
  const isCancelled = () => cancelled;

  async function begin() {
    try {
      const found = await counting({ cancelled: isCancelled, progress: (jobs, place) => setText(text, `Counting: ${count(jobs)} so far, request ${place}.`) });
      if (cancelled) return;
      setText(heading, found.jobs || !found.isAll ? title(act, found) : "There are none");
      setText(text, found.jobs ? act.text + ((found.isActive && act.ofActive) || "") + unfit(found.left) : found.wrong?.length ? "" : noneOf(act));
      if (found.wrong?.length) wrong.tell({ message: `Not counted, and left alone:\n${some(found.wrong)}` });
      send.disabled = !found.jobs;
      (why?.querySelector("input") ?? cancel).focus();
    } catch (error) {
      setText(text, "");
      wrong.tell(explained(error));
    }
  }

  async function act_() {
    const reason = dialog.querySelector("input")?.value.trim();
    send.disabled = true;
    setText(cancel, "Stop here");
    const { done, wrong: errors } = await run({ reason, cancelled: isCancelled, progress: (jobs) => setText(text, `${act.doing}: ${count(jobs)} so far.`) });
    const result = `${act.did}: ${many(done, "job")}.`;
    say(result);
    after();
    if (!errors.length) return dialog.close();
    setText(heading, result);
    setText(text, `${many(errors.length, "error")}:`);
    wrong.tell({ message: some(errors) });
    setText(cancel, "Close");
    send.hidden = true;
  }
  begin();
}
