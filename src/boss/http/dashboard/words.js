// Numbers, times and JSON in the form that a person reads.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const instant = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

// The server's clock minus ours, in milliseconds.
let ahead = 0;

/** Use the server's clock from now on. */
export function setClock(now) {
  ahead = Date.parse(now) - Date.now();
}

/** Seconds since an instant, by the server's clock; negative when it is in the future. */
export const since = (time) => (Date.now() + ahead - Date.parse(time)) / 1000;

export const count = (number) => whole.format(number);

/** A duration in seconds as text: `4 s`, `3 min`, `5.2 h`, `12 days`. */
export function duration(seconds) {
  if (seconds < 9.95) return `${Math.max(seconds, 0).toFixed(seconds < 0.95 ? 1 : 0)} s`;
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min`;
  if (seconds < 172800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86400).toFixed(0)} days`;
}

/** A rate per second as text: `0.02`, `3.5`, `1,200`. */
export function rate(number) {
  if (number === 0) return "0";
  if (number < 0.095) return number.toFixed(2);
  return number < 9.95 ? number.toFixed(1) : count(number);
}

export const at = (time) => instant.format(Date.parse(time));

/** The members of a JSON object as unchanged text, so that long numbers keep all their digits. */
export function members(text) {
  const found = Object.create(null);
  let depth = 0, start = 0, key = null;
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:,]/g)) {
    if (depth === 1 && key === null && token[0] === '"') [key, start] = [JSON.parse(token), index + token.length + 1];
    const ends = depth === 1 && (token === "," || token === "}");
    if (ends && key !== null) [found[key], key] = [text.slice(start, index).trim(), null];
    if (token === "{" || token === "[") depth++;
    if (token === "}" || token === "]") depth--;
  }
  return found;
}

/** JSON text, indented, with one line for each member. */
export function pretty(text) {
  let indent = 0;
  const line = () => "\n" + "  ".repeat(indent);
  return text.replace(/"(?:[^"\\]|\\.)*"|[{[]\s*[}\]]|[{}[\]:,]|[^\s{}[\]:,"]+|\s+/g, (token) => {
    if (/^\s+$/.test(token)) return "";
    if (/^[{[]\s*[}\]]$/.test(token)) return token[0] + token.at(-1);
    if (token === "{" || token === "[") return (indent++, token + line());
    if (token === "}" || token === "]") return (indent--, line() + token);
    if (token === ",") return token + line();
    return token === ":" ? ": " : token;
  });
}
