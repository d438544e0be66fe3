// What a list of jobs asks Boss for, by the filter in its address.

import * as boss from "./boss.js";
import { now } from "./times.js";
import { reasonOf } from "./words.js";

export const OUTCOMES = ["completed", "failed", "stopped", "abandoned"];
const BAD = ["failed", "abandoned"];
export const LAST = new Map([["15m", ["the last 15 minutes", 900]], ["1h", ["the last hour", 3600]], ["1d", ["the last day", 86_400]], ["7d", ["the last 7 days", 604_800]]]);
const LIMIT = 50;

/** What is wrong with the filter in an address, in words; null when nothing is. What the fields of the page cannot show is not applied. */
export const wrongFilter = (kind, query) => wrongTime(query) ?? wrongFields(kind, query);

// What only done jobs have, in words.
const OF_DONE = new Map([["outcome", "an outcome"], ["reason", "a reason"], ["group", "a reason"]]);

function wrongFields(kind, query) {
  const state = query.get("state"), found = (names) => names.find((name) => query.get(name));
  const wrong = (name, why) => `The address says ${name}=${query.get(name)}, but ${why}.`;
  if (kind === "failed" && state && state !== "done") return wrong("state", "this is the list of the jobs that failed");
  if (kind === "active" && state && state !== "active") return wrong("state", "this is the list of the active jobs");
  const ofDone = found([...OF_DONE.keys()]);
  if (ofDone && (kind === "active" || (kind === "jobs" && state && state !== "done"))) return wrong(ofDone, `only done jobs have ${OF_DONE.get(ofDone)}`);
  const time = LAST.has(query.get("last")) && found(["since", "until"]);
  return time ? wrong(time, `it also says last=${query.get("last")}, and can say only one of them`) : null;
}

function wrongTime(query) {
  const time = ["since", "until"].find((name) => query.get(name) && Number.isNaN(Date.parse(query.get(name))));
  if (time) return `The address says ${time}=${query.get(time)}, which is not a time. A time is written as 2026-01-31T12:00:00Z.`;
  const last = query.get("last");
  if (!last || last === "between" || LAST.has(last)) return null;
  return `The address says last=${last}, which is not known here. It can be ${[...LAST.keys()].join(", ")} or between.`;
}

/** The filter of a list of this kind (`jobs`, `active` or `failed`), as the parameters of `GET /jobs`; `outcomes` are those wanted. */
export function filterOf(kind, query) {
  const given = {};
  for (const name of ["state", "source", "since", "until", "reason"]) if (query.get(name)) given[name] = query.get(name);
  const last = LAST.get(query.get("last"));
  if (last) given.since = new Date(now() - last[1] * 1000).toISOString();
  if (kind === "active") given.state = "active";
  const outcome = query.get("outcome");
  const outcomes = outcome ? [outcome] : kind === "failed" ? BAD : [null];
  // Only done jobs have an outcome or a reason.
  if (outcomes[0] || given.reason) given.state = "done";
  return { given, outcomes };
}

/** The queries that find what a filter means. There is one for each outcome, because Boss takes one at a time. */
export const queriesOf = ({ given, outcomes }) => outcomes.map((outcome) => (outcome ? { ...given, outcome } : given));

// Boss looks for no words in a result of more than 16 KiB, with spaces that are not known here.
const isLong = (result) => result != null && new Blob([JSON.stringify(result)]).size > 12_288;

/** What a list shows of a job: without its document, which may be large. */
function brief(job) {
  const { job: _document, result: _result, history, note, ...rest } = job;
  const reason = reasonOf(job);
  // An abandoned job has no reason of its own: nobody said one.
  const isLost = job.outcome === "abandoned" && !reason;
  return { ...rest, reason, isLost, isLong: isLong(job.result), hasNote: note !== null, before: history.at(-1) ?? null };
}

// A time with six digits behind the second, so that times compare as text.
const exact = (time) => {
  const [second, part = ""] = time.replace("Z", "").split(".");
  return `${second}.${part.padEnd(6, "0")}`;
};
const placeOf = (job) => `${exact(job.finished ?? job.submitted)}Z,${job.id}`;
const isBefore = (one, other) => placeOf(one) > placeOf(other) ? -1 : 1;
const nextOf = (answer) => answer.next && new URLSearchParams(answer.next.split("?")[1]).get("after");

/** A page of the jobs that a filter means, the newest first, and where the next page begins; null at the end. */
export async function findPage(filter, after, limit = LIMIT) {
  const answers = await Promise.all(queriesOf(filter).map((query) =>
    boss.json("GET", `/jobs?${new URLSearchParams({ ...query, limit, ...(after ? { after } : {}) })}`)));
  if (answers.length === 1) return { jobs: answers[0].jobs.map(brief), next: nextOf(answers[0]) };
  // Beyond the nearest of the ends there may be jobs that only the next page of one of them has.
  const end = answers.map(nextOf).filter(Boolean).sort().at(-1) ?? null;
  const jobs = answers.flatMap((answer) => answer.jobs).sort(isBefore).filter((job) => end === null || placeOf(job) >= end);
  return { jobs: jobs.map(brief), next: end };
}
