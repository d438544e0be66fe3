// Requests to Boss, as any client sends them.

import { startClock } from "./times.js";

export const path = (...parts) => "/" + parts.map(segment).join("/");

/** A name in a path. A browser takes these two for folders, however they are written, and would ask for another path. */
function segment(name) {
  if (name === "." || name === "..") throw new Error(`No job and no source can have the name “${name}”.`);
  return encodeURIComponent(name);
}
const attempt = (job) => ({ "if-match": `"${job.attempt}"` });

/** How many requests that may change something were sent. A page from before the last one shows what may be over. */
export let acts = 0;

/** Send a request; return its response, or throw an error with the detail of its problem. It is `away` when there is no response. */
export async function send(method, address, { body, headers, signal } = {}) {
  const answer = await fetch(address, { method, body, headers, signal }).catch(() => {
    throw Object.assign(new Error("Boss does not answer"), { away: true });
  });
  if (method !== "GET") acts++;
  if (answer.ok) return answer;
  let detail = `${answer.status} ${answer.statusText}`;
  try {
    detail = JSON.parse(await answer.text()).detail;
  } catch {} // the response is not one of Boss's
  throw Object.assign(new Error(detail), { status: answer.status });
}

/** Whether the same request may be answered later: there was no response, or Boss's own error, such as a database that is away. */
export const mayPass = (error) => error.away === true || error.status >= 500;

async function ask(method, address, body, headers) {
  return (await send(method, address, { body, headers })).text();
}
export const json = async (method, address, body) => JSON.parse(await ask(method, address, body));

export const read = (address) => ask("GET", address);
export const find = (id) => ask("GET", path("jobs", id));
export const stop = (job, reason) =>
  ask("POST", path("job", "done", job.source, job.id) + "?outcome=stopped", reason ? JSON.stringify({ reason }) : undefined);
export const giveBack = (job) => ask("DELETE", path("job", "active", job.source, job.id) + "?delay=0");
/** Make a done job available again, if it is still in the attempt that was shown. */
export const redo = (job) => ask("POST", path("job", "available", job.source, job.id) + "?from=done", undefined, attempt(job));
export const remove = (job) => ask("DELETE", path("job", "done", job.source, job.id), undefined, attempt(job));
/** Change an available job: `how` has priority, delay, at, timeout and expires. */
export const change = (job, document, how) =>
  ask("PUT", `${path("job", "available", job.source, job.id)}?${new URLSearchParams(how)}`, document, attempt(job));

/** Who this is. The response says also what time it is for Boss, before the feed does. */
export async function session() {
  const answer = await send("GET", "/session");
  startClock(answer.headers.get("date"));
  return answer.json();
}
export const signIn = (token) => json("POST", "/session", JSON.stringify({ token }));
export const signOut = () => ask("DELETE", "/session");

/** Submit a job; `how` has priority, delay, attempts, timeout, expires and after, where an empty text means the default. Returns its id. */
export async function submit(source, id, document, how) {
  const given = Object.entries(how).filter(([, value]) => value !== "");
  const query = given.length ? `?${new URLSearchParams(given)}` : "";
  const address = id ? path("job", "available", source, id) : path("job", "available", source);
  return (await json("POST", address + query, document)).id;
}

export const sources = async () => (await json("GET", "/source")).sources;
/** A source, and the version of its rule. */
export async function source(name) {
  const answer = await send("GET", path("source", name));
  return { row: await answer.json(), version: answer.headers.get("etag") };
}
/** Set the rule of a source, in place of the one with this version. */
export const setRule = (source, rule, version) => ask("PUT", path("source", source), JSON.stringify(rule), { "if-match": version });

export const converters = async () => (await json("GET", "/converter")).converters;

export const schedules = () => ask("GET", "/schedule");
/** Set a schedule; `members` are the fields of the request as JSON text, so that its document keeps its digits. */
export const setSchedule = (name, members) =>
  ask("PUT", path("schedule", name), `{${Object.entries(members).map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(",")}}`);
export const runSchedule = (name) => json("POST", path("schedule", name));
export const deleteSchedule = (name) => ask("DELETE", path("schedule", name));
