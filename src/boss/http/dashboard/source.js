// The page of one source: its counts, its rule, and the ways to its jobs.

import * as boss from "./boss.js";
import { confirm } from "./dialog.js";
import { askToSubmit } from "./dialogs.js";
import { el, say, setChildren, setText } from "./dom.js";
import { state } from "./feed.js";
import { complaint, empty, section } from "./parts.js";
import { may } from "./rights.js";
import { go, href, jobAddress } from "./router.js";
import { ruleButtons, rulePill, ruleWords } from "./rule.js";
import { count } from "./words.js";

const STATES = ["available", "active", "done"];

function askToForget(source) {
  confirm(`Delete the source ${source}?`, "Its rule and its counts are deleted. It must have no jobs.", "Delete it", async () => {
    await boss.send("DELETE", boss.path("source", source));
    say(`Deleted the source ${source}.`);
    state.counts.delete(source);
    go(href("sources"));
  }, true);
}

/** The page of a source. Charts go below the counts. */
export function sourcePage({ part: source }) {
  const numbers = STATES.map(() => el("b"));
  const counts = el("div", { class: "numbers" }, STATES.map((each, place) =>
    el("a", { class: `number state ${each}`, href: href("jobs", null, { source, state: each }) }, numbers[place], each)));
  const rule = el("div", { class: "rule" });
  const actions = el("div", { class: "actions" });
  const wrong = complaint();
  const links = el("p", { class: "links" }, el("a", { href: href("failed", null, { source }) }, "Failed jobs"),
    el("a", { href: href("failed", null, { source, group: "reason" }) }, "Reasons of failures"), el("a", { href: href("jobs", null, { source }) }, "All jobs"));
  const crumbs = el("div", { class: "crumbs" }, el("a", { href: href("sources") }, "Sources"));
  const content = [el("section", { "aria-label": "Jobs" }, counts, links), section("Rule", {}, rule)];
  const element = el("div", { class: "contents" }, crumbs, el("div", { class: "title" }, el("h1", {}, source), actions), wrong.element, ...content);

  async function read() {
    try {
      const row = (await boss.sources()).find((each) => each.source === source);
      show(row ?? null);
    } catch (error) {
      if (!error.away) wrong.tell(error);
    }
  }

  function show(row) {
    if (!row) {
      wrong.tell({ message: `There is no source ${source} yet. Its first job makes it.` });
      row = { source, paused: false };
    } else wrong.tell(null);
    const words = ruleWords(row);
    setChildren(rule, words.length ? words.map(rulePill) : [empty("It has no rule: nothing holds its jobs back, and the server's defaults apply.")]);
    const ask = () => askToSubmit([source], (id) => go(jobAddress(id)), { like: { source, document: "{\n  \n}" } });
    const submit = may("submit", source) && el("button", { onclick: ask }, "Submit a job");
    const admin = may("administer", source) ? [...ruleButtons(row, read), el("button", { class: "bad", onclick: () => askToForget(source) }, "Delete")] : [];
    setChildren(actions, [submit, ...admin].filter(Boolean));
  }

  function update() {
    const now = state.counts.get(source) ?? [0, 0, 0];
    now.forEach((jobs, place) => setText(numbers[place], count(jobs)));
  }
  update();
  return { title: source, element, update, tick() {}, ready: read() };
}
