// The rule of a source: its limits and its defaults. A request replaces the whole rule, so nothing of it may be lost here.

import * as boss from "./boss.js";
import { confirm, field, form, line, open, pair } from "./dialog.js";
import { el, say } from "./dom.js";
import { count, duration } from "./words.js";

// The fields of a rule that are numbers, with what an empty field means.
const NUMBERS = [
  ["limit", "Most active jobs at once", "any number", { min: 1 }],
  ["rate", "Most takes a second", "any number", { min: 0, step: "any" }],
  ["attempts", "Attempts of a job", "25", { min: 1 }],
  ["lease", "Lease in seconds, 0 for ever", "the server's", { min: 0 }],
  ["timeout", "Timeout of an attempt in seconds", "none", { min: 1 }],
  ["keep_done", "Keep done jobs for days", "the server's", { min: 0, step: "any" }],
];

const LIMITS = ["limit", "rate"];
// The status that says that somebody has changed the rule since it was read, and how often it is read again.
const CHANGED = 412, TRIES = 10;

/** The rule in a row of `GET /source`, whatever fields it has. */
function ruleOf({ source: _source, available: _available, active: _active, done: _done, ...rule }) {
  return rule;
}

/** A rule in words, short. */
export function ruleWords(rule) {
  const said = [];
  if (rule.paused) said.push("paused");
  if (rule.limit) said.push(`at most ${count(rule.limit)} active`);
  if (rule.rate) said.push(`at most ${rule.rate} a second`);
  if (rule.attempts) said.push(`${count(rule.attempts)} attempts`);
  if (rule.delays) said.push(`delays ${rule.delays.map(duration).slice(0, 4).join(", ")}${rule.delays.length > 4 ? " …" : ""}`);
  if (rule.lease != null) said.push(rule.lease ? `lease ${duration(rule.lease)}` : "lease for ever");
  if (rule.timeout) said.push(`timeout ${duration(rule.timeout)}`);
  if (rule.keep_done != null) said.push(`kept ${rule.keep_done} days`);
  return said;
}

export const rulePill = (words) => el("span", { class: `pill ${words === "paused" ? "paused" : ""}` }, words);

/** Change some fields of a rule, and leave the others as they are now, also when somebody changes those meanwhile. */
async function change(source, fields) {
  for (let tries = 1; ; tries++) {
    const { row, version } = await boss.source(source);
    try {
      return await boss.setRule(source, { ...ruleOf(row), ...fields }, version);
    } catch (error) {
      if (error.status !== CHANGED || tries === TRIES) throw error;
    }
  }
}

function askToPause(source, after) {
  confirm(`Pause ${source}?`, "None of its jobs is handed out until it is resumed. Its active jobs go on.", "Pause it", async () => {
    await change(source, { paused: true });
    say(`${source} is paused.`);
    after();
  });
}

export async function resume(source, after) {
  try {
    await change(source, { paused: false });
    say(`${source} is resumed.`);
    after();
  } catch (error) {
    say(error.message);
  }
}

function number(name, text) {
  if (text.trim() === "") return null;
  const value = Number(text);
  if (Number.isNaN(value)) throw new Error(`${name} is “${text}”, which is no number.`);
  return value;
}

/** What the form says: a field that is empty means the default. */
function asked(values, known) {
  const now = { paused: values.paused === "on" };
  for (const [name, label] of known) {
    now[name] = number(label, values[name]);
    if (LIMITS.includes(name) && now[name] === 0) throw new Error(`“${label}” is 0, so no job would be handed out. If that is what you want, tick “Paused”.`);
  }
  now.delays = values.delays.trim() ? values.delays.split(/[,\s]+/).filter(Boolean).map((text) => number("A delay", text)) : null;
  return now;
}

/** Edit the rule of a source; `row` is the source as `GET /source` has it. */
function askForRule(row, after) {
  const known = NUMBERS.filter(([name]) => name in row);
  const inputs = known.map(([name, label, without, more]) =>
    field(label, line(name, { type: "number", step: 1, ...more, placeholder: without, value: row[name] })));
  inputs.push(field("Delays after failed attempts, in seconds", line("delays", { placeholder: "1, 2, 4 … 3600", value: row.delays?.join(", ") })));
  const pairs = [];
  for (let place = 0; place < inputs.length; place += 2) pairs.push(pair(...inputs.slice(place, place + 2)));
  const paused = el("label", { class: "check" }, el("input", { type: "checkbox", name: "paused", checked: row.paused }), "Paused: none of its jobs is handed out");
  const act = async (values) => {
    const now = asked(values, known);
    const changed = Object.fromEntries(Object.entries(now).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(row[name] ?? null)));
    if (!Object.keys(changed).length) throw new Error("Nothing is different from before.");
    await change(row.source, changed);
    say(`Set the rule of ${row.source}.`);
    after();
  };
  const text = el("p", {}, "An empty field means the default. What a request says itself wins.");
  open(`Rule of ${row.source}`, form([text, paused, ...pairs], { act, does: "Set it" })).querySelector("input").focus();
}

/** Edit the rule of a source as it is now. */
export async function askForRuleOf(source, after) {
  try {
    const { row } = await boss.source(source);
    if (!document.querySelector("dialog[open]")) askForRule(row, after);
  } catch (error) {
    say(error.message);
  }
}

/** The buttons of a rule. */
export function ruleButtons(row, after) {
  const [word, act] = row.paused ? ["Resume", resume] : ["Pause", askToPause];
  const pause = el("button", { onclick: () => act(row.source, after) }, word);
  pause.setAttribute("aria-label", `${pause.textContent} ${row.source}`);
  return [pause, el("button", { "aria-label": `Edit the rule of ${row.source}`, onclick: () => askForRuleOf(row.source, after) }, "Rule")];
}
