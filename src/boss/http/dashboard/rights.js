// What the token of this page may do. What it may not do is not offered; Boss itself would refuse it.

const RIGHTS = new Map([
  ["admin", new Set(["read", "submit", "monitor", "administer"])],
  ["submitter", new Set(["read", "submit", "monitor"])],
]);
let session = null;

/** The answer of `GET /session`; null while it is not known. */
export function setSession(found) {
  session = found;
}

/** Whether it may do something, to the jobs of this source if one is named. */
export function may(right, source) {
  if (!RIGHTS.get(session?.role)?.has(right)) return false;
  // Metrics and health are about all sources.
  if (right === "monitor") return session.sources === null;
  return source === undefined || session.sources === null || session.sources.includes(source);
}
