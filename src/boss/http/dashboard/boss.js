// Requests to Boss, as any client sends them.

const path = (...parts) => "/" + parts.map(encodeURIComponent).join("/");

/** Send a request; return the text of the response, or throw an error with the detail of its problem. */
async function ask(method, address, body) {
  const answer = await fetch(address, { method, body });
  const text = await answer.text();
  if (answer.ok) return text;
  let detail = `${answer.status} ${answer.statusText}`;
  try {
    detail = JSON.parse(text).detail;
  } catch {} // the response is not one of Boss's
  throw Object.assign(new Error(detail), { status: answer.status });
}

export const read = (address) => ask("GET", address);
export const find = (id) => ask("GET", path("jobs", id));
export const stop = (source, id, reason) =>
  ask("POST", path("job", "done", source, id) + "?outcome=stopped", reason ? JSON.stringify({ reason }) : undefined);
export const giveBack = (source, id) => ask("DELETE", path("job", "active", source, id) + "?delay=0");

export const session = async () => JSON.parse(await ask("GET", "/session"));
export const signIn = async (token) => JSON.parse(await ask("POST", "/session", JSON.stringify({ token })));
export const signOut = () => ask("DELETE", "/session");

export async function greatestIds(source, state, limit) {
  const query = new URLSearchParams({ source, state, limit });
  return JSON.parse(await ask("GET", `/jobs?${query}`)).jobs;
}

/** Submit a job; `how` has priority, delay, attempts, timeout, expires and after, where an empty text means the default. Returns its id. */
export async function submit(source, id, document, how) {
  const given = Object.entries(how).filter(([, value]) => value !== "");
  const query = given.length ? `?${new URLSearchParams(given)}` : "";
  const address = id ? path("job", "available", source, id) : path("job", "available", source);
  return JSON.parse(await ask("POST", address + query, document)).id;
}
