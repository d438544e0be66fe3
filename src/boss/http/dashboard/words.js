// Numbers, durations and reasons in the form that a person reads.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (number) => whole.format(number);

/** A number with its noun: `1 job`, `2 jobs`. */
export const many = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

/** A sentence's beginning in upper case, and a full stop unless told otherwise. */
export const sentence = (text, end = ".") => text[0].toUpperCase() + text.slice(1) + end;

/** A duration in seconds as text: `4 s`, `3 min`, `5.2 h`, `12 days`. */
export function duration(seconds) {
  if (seconds < 9.95) return `${Math.max(seconds, 0).toFixed(seconds < 0.95 ? 1 : 0)} s`;
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1).replace(".0", "")} h`;
  return `${(seconds / 86400).toFixed(0)} days`;
}

// Log lines may come before it, and its begin may be cut off.
const isTraceback = (text) => /^(Traceback \(most recent call last\)| {2}File ".*", line \d)/m.test(text);

/** The line of a reason that says most: the first one, or the last one of a Python traceback. */
export function gist(reason) {
  const lines = reason.trim().split("\n");
  return lines.at(isTraceback(reason) ? -1 : 0);
}

/** The class of a text of several lines: in a traceback, marks below a line point at parts of it, so no line is broken. */
export const linesOf = (text) => (isTraceback(text) ? "lines code" : "lines");

/** A number of bytes as text: `12 kB`, `3.4 MB`. */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Why a job was abandoned that has no other reason: nobody said anything. */
export const LEASE_RAN_OUT = "its lease ran out, and it had no attempts left";

/** Why a done job ended so: `error` or `reason` of its result, or else all of it, as `GET /jobs?reason=` sees it. */
export function reasonOf({ result }) {
  if (result === null || result === undefined) return "";
  const said = [result.error, result.reason].find((each) => each !== undefined && each !== null && each !== "") ?? result;
  return typeof said === "string" && said !== result ? said : JSON.stringify(said);
}

/** The beginning of a text, at most so long, without half a character at its end. */
export const beginning = (text, most) => text.slice(0, most).replace(/[\ud800-\udbff]$/, "");
