// The dialogs about one job.

import * as boss from "./boss.js";
import { checkJson, confirm, field, form, jsonField, line, open, pair } from "./dialog.js";
import { el, say } from "./dom.js";
import { members, pretty } from "./json.js";
import { fromField, toField, zoneName } from "./times.js";

export function askToStop(job, after) {
  const hears = job.state === "active" ? " Its converter learns of it at its next heartbeat." : "";
  const fields = [
    el("p", {}, `The job will be done, with the outcome stopped.${hears}`),
    field("Reason, which is kept with the job", line("reason", { maxlength: 500 })),
  ];
  const act = async ({ reason }) => {
    await boss.stop(job, reason.trim());
    say(`Stopped ${job.id}.`);
    after();
  };
  open(`Stop ${job.id}?`, form(fields, { act, does: "Stop it", danger: true })).querySelector("input").focus();
}

export function askToGiveBack(job, after) {
  const text = "The job will be available again at once, for another attempt. The converter that has it now loses it.";
  confirm(`Give ${job.id} back?`, text, "Give it back", async () => {
    await boss.giveBack(job);
    say(`${job.id} is available again.`);
    after();
  });
}

export function askToRedo(job, after) {
  const text = "The job will be available again under its own id, at the end of the queue. It keeps its history and gets as many attempts more as it was submitted with.";
  confirm(`Redo ${job.id}?`, text, "Redo it", async () => {
    await boss.redo(job);
    say(`${job.id} is available again.`);
    after();
  });
}

export function askToDelete(job, after) {
  const text = "The job is deleted with its document, its result and its history. Nothing brings it back.";
  confirm(`Delete ${job.id}?`, text, "Delete it", async () => {
    await boss.remove(job);
    say(`Deleted ${job.id}.`);
    after();
  }, true);
}

/** Change a waiting job. Only what is different from before is sent. */
export async function askToChange(job, after) {
  const raw = members(await boss.find(job.id)).job;
  const before = { priority: String(job.priority), at: toField(job.due), timeout: String(job.timeout ?? ""), expires: "", document: pretty(raw) };
  const fields = [
    pair(field("Priority", line("priority", { type: "number", min: -1000, max: 1000, value: before.priority })),
      field(`Not before (${zoneName()})`, line("at", { type: "datetime-local", step: 1, value: before.at }))),
    pair(field("Timeout of an attempt in seconds", line("timeout", { type: "number", min: 1, placeholder: "none", value: before.timeout })),
      field("Abandon if not taken after seconds, from now", line("expires", { type: "number", min: 1, placeholder: job.expires ? "as it is" : "never" }))),
    jsonField("Document, a JSON object", "document", before.document),
  ];
  const act = async (now) => {
    const how = {};
    for (const name of ["priority", "timeout", "expires"]) if (now[name] !== before[name]) how[name] = now[name];
    if (how.timeout === "") throw new Error("A timeout can be changed, not taken away.");
    // An empty time means at once.
    if (now.at !== before.at) Object.assign(how, now.at ? { at: fromField(now.at) } : { delay: 0 });
    const document = now.document === before.document ? undefined : now.document;
    if (document !== undefined) checkJson("The document", document);
    if (document === undefined && !Object.keys(how).length) throw new Error("Nothing is different from before.");
    await boss.change(job, document, how);
    say(`Changed ${job.id}.`);
    after();
  };
  open(`Change ${job.id}`, form(fields, { act, does: "Change it" })).querySelector("input").focus();
}

const EMPTY = { source: "", document: "{\n  \n}", priority: "", attempts: "", timeout: "" };

/** Submit a job. `like` has values to begin with. */
export function askToSubmit(sources, after, { title = "Submit a job", does = "Submit it", like = EMPTY } = {}) {
  const number = (name, least, placeholder, more = {}) => line(name, { type: "number", min: least, placeholder, value: like[name], ...more });
  const fields = [
    field("Source", line("source", { list: "sources", maxlength: 100, value: like.source })),
    el("datalist", { id: "sources" }, ...sources.map((source) => el("option", { value: source }))),
    jsonField("Document, a JSON object", "document", like.document),
    pair(field("Id (generated when empty)", line("id", { maxlength: 64 })), field("Priority", number("priority", -1000, "0", { max: 1000 }))),
    pair(field("Delay in seconds", number("delay", 0, "0")), field("Attempts", number("attempts", 1, "the source's default, or 25"))),
    pair(field("Timeout of an attempt in seconds", number("timeout", 1, "the source's default, or none")),
      field("Abandon if not taken after seconds", number("expires", 1, "never"))),
    field("After these jobs (separated by commas)", line("after")),
  ];
  const act = async ({ source, id, document, ...how }) => {
    if (!source) throw new Error("Say which source the job is of.");
    checkJson("The document", document);
    const made = await boss.submit(source, id, document, how);
    say(`Submitted ${made}.`);
    after(made);
  };
  open(title, form(fields, { act, does })).querySelector("input").focus();
}

/** Submit a done job's document as a new job, after the user has changed what they want changed. */
export function askToSubmitAgain(job, raw, sources, after) {
  const like = { source: job.source, document: pretty(raw), priority: job.priority, attempts: job.attempts, timeout: job.timeout ?? "" };
  askToSubmit(sources, after, { title: `Submit ${job.id} again, as a new job`, does: "Submit it again", like });
}
