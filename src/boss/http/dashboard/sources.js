// The sources: with their counts, which are live, and their rules.

import * as boss from "./boss.js";
import { el, setChildren, setText } from "./dom.js";
import { state } from "./feed.js";
import { complaint, empty, name as named, page } from "./parts.js";
import { may } from "./rights.js";
import { href, replaceAddress, sourceAddress } from "./router.js";
import { ruleButtons, rulePill, ruleWords } from "./rule.js";
import { sortChoice, sorter, table } from "./table.js";
import { count, many } from "./words.js";

const STATES = ["available", "active", "done"];
// How many are shown at first: each row costs the browser something with every event.
const MOST = 200;
const AGAIN = 30_000;

function row(again) {
  return (item) => {
    const cells = STATES.map((each) => el("td", { class: `number ${each}`, "data-name": each }));
    const rule = el("td", { class: "rule" }), tools = el("td", { class: "tools" });
    let shown = "";
    function update(now) {
      const counts = state.counts.get(now.source) ?? STATES.map((each) => now[each]);
      cells.forEach((cell, place) => {
        setText(cell, count(counts[place]));
        cell.classList.toggle("zero", !counts[place]);
      });
      const text = JSON.stringify(now);
      if (text === shown) return;
      shown = text;
      setChildren(rule, ruleWords(now).map(rulePill));
      setChildren(tools, may("administer", now.source) ? ruleButtons(now, again) : []);
    }
    const link = named(item.source, "a", { class: "go", href: sourceAddress(item.source) });
    return { line: el("tr", {}, el("td", { class: "job" }, link), ...cells, rule, tools), update };
  };
}

function order(sort) {
  const by = sort.replace("-", ""), way = sort.startsWith("-") ? -1 : 1;
  const place = STATES.indexOf(by);
  const value = (item) => (by === "rule" ? ruleWords(item).length : state.counts.get(item.source)?.[place] ?? item[by]);
  const byName = (one, other) => (one.source < other.source ? -1 : 1);
  if (by === "source") return (one, other) => way * byName(one, other);
  // The most comes first.
  return (one, other) => way * (value(other) - value(one)) || byName(one, other);
}

export function sourcesPage({ query }) {
  const wanted = { q: query.get("q") ?? "", sort: query.get("sort") ?? "source" };
  let all = [], showAll = false, last = 0, known = 0, reading = false, isRead = false;
  const wrong = complaint();
  const filter = el("input", { type: "search", name: "q", value: wanted.q, placeholder: "Name of a source, or paused",
    "aria-label": "Show only sources with this in their name or rule", oninput: () => change({ q: filter.value.trim() }) });
  const heads = [["Source", "source"], ["Available", "available"], ["Active", "active"], ["Done", "done"], ["Rule", "rule"]];
  const columns = heads.map(([, name]) => [el("span"), STATES.includes(name) ? `number ${name}` : ""]);
  const choice = sortChoice(heads.map(([text, name]) => [text, name, name !== "source"]), (sort) => change({ sort }));
  const shown = table({ label: "Sources", columns: [...columns, ""], key: (item) => item.source, make: row(() => read()) });
  const none = el("div");
  const how = el("p", { class: "note", role: "status" });
  const more = el("button", { hidden: true, onclick: () => ((showAll = true), arrange()) }, "Show all");
  const element = page("Sources", [el("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() }, filter)], wrong.element, how, choice.element,
    el("section", { class: "sources", "aria-label": "Sources" }, shown.element, none, el("div", { class: "pages" }, more)));

  function change(now) {
    Object.assign(wanted, now);
    replaceAddress(href("sources", null, { q: wanted.q, sort: wanted.sort === "source" ? "" : wanted.sort }));
    arrange();
  }

  function arrange() {
    choice.show(wanted.sort);
    heads.forEach(([text, name], place) => {
      const again = element.contains(document.activeElement) && columns[place][0].contains(document.activeElement);
      columns[place][0].replaceChildren(sorter(text, name, wanted.sort, (sort) => change({ sort }), name !== "source"));
      if (again) columns[place][0].firstChild.focus();
    });
    const words = wanted.q.toLowerCase();
    const found = all.filter((item) => item.source.toLowerCase().includes(words) || (words && ruleWords(item).join(" ").includes(words))).sort(order(wanted.sort));
    shown.show(showAll ? found : found.slice(0, MOST));
    more.hidden = showAll || found.length <= MOST;
    setText(more, `Show all ${count(found.length)}`);
    setText(how, words ? `${count(found.length)} of ${many(all.length, "source")}` : many(all.length, "source"));
    const text = all.length ? `No source has “${wanted.q}” in its name or rule.` : "There is no source yet. The first job of a source makes it: use the button “Submit a job” above.";
    setChildren(none, found.length || !isRead ? [] : [empty(text)]);
  }

  async function read() {
    if (reading) return;
    [reading, known] = [true, state.counts.size];
    try {
      all = await boss.sources();
      isRead = true;
      wrong.tell(null);
    } catch (error) {
      if (!error.away) wrong.tell(error);
    }
    [reading, last] = [false, Date.now()];
    if (isRead) arrange();
  }

  function update() {
    if (!isRead || state.counts.size !== known || Date.now() - last > AGAIN) return void read();
    for (const item of all) shown.rows.get(item.source)?.update(item);
  }
  return { title: "Sources", element, update: () => last && update(), tick() {}, ready: read() };
}
