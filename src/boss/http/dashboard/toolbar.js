// What may be done with the rows that are selected, or with all that match.

import * as boss from "./boss.js";
import { ACTS, actOnMatching, actOnSelected, isFor } from "./bulk.js";
import { el, setText } from "./dom.js";
import { findPage } from "./finding.js";
import { may } from "./rights.js";
import { many } from "./words.js";

// How many jobs are looked at to find their sources.
const SOME = 100;

/** The sources that a filter is about, as far as the token may act on them: those of the jobs found if that is all of them, or else those with any job in its state. */
async function sourcesOf(filter) {
  const { source, state } = filter.given;
  if (source) return [source];
  const { jobs, next } = await findPage(filter, null, SOME);
  const all = next === null ? [...new Set(jobs.map((job) => job.source))]
    // They are read anew: the feed may be a second late.
    : (await boss.sources()).filter((row) => row[state] > 0).map((row) => row.source);
  return all.filter((each) => may("administer", each));
}

/** A toolbar for a list of jobs in this state, or in any; `filter()` is that of the list, and `update(chosen)` shows what is selected. */
export function toolbar({ state, filter, clear, after }) {
  const words = el("span", { class: "many", role: "status" });
  let chosen = new Map();
  const done = () => {
    clear();
    after();
  };
  const actOnAll = (act, now) => actOnMatching(act, now, () => sourcesOf(now), done);
  const button = (act, onclick, more) => el("button", { class: act.danger ? "bad" : "", onclick, ...more }, act.name);
  const buttons = Object.values(ACTS).map((act) => [act, button(act, () => actOnSelected(act, [...chosen.values()], done))]);
  const none = el("button", { class: "plain link", onclick: clear }, "Select none");
  const all = Object.values(ACTS).filter((act) => state && isFor(act, state)).map((act) =>
    button(act, () => actOnAll(act, filter()), { "aria-label": `${act.name} all that match` }));
  const matching = el("div", { class: "matching" }, el("span", { class: "note" }, "All that match:"), ...all);
  const selected = el("div", { class: "selected" }, words, ...buttons.map(([, button]) => button), none);
  const hint = el("span", { class: "note" }, "Choose a state to redo, stop or delete all that match.");
  const element = el("div", { class: "toolbar", role: "group", "aria-label": "Act on many" }, selected, all.length ? matching : hint);

  function update(now) {
    chosen = now;
    selected.hidden = !chosen.size;
    matching.hidden = hint.hidden = chosen.size > 0;
    setText(words, chosen.size ? `${many(chosen.size, "job")} selected` : "");
    for (const [act, button] of buttons) button.hidden = ![...chosen.values()].some((job) => isFor(act, job.state));
  }
  update(chosen);
  return { element, update };
}
