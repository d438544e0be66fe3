// Failed jobs by their reasons. What is grouped are the newest jobs that match, and how many they are is said.

import { el, setText } from "./dom.js";
import { findPage } from "./finding.js";
import { complaint, empty, sourceLink } from "./parts.js";
import { href } from "./router.js";
import { table } from "./table.js";
import { ago, setTime } from "./times.js";
import { count, gist, many } from "./words.js";

// How many jobs are grouped at first, and with each "more"; and how many are asked for at once.
const SOME = 1000, AT_ONCE = 100;
// Numbers and ids differ from job to job where the reason is the same.
const VARIES = /[0-9A-Za-z]*[0-9][0-9A-Za-z_-]*(?:[.,:][0-9A-Za-z]*[0-9]+)*/g;

/** What reasons have in common that differ in numbers and ids alone. */
const shapeOf = (reason) => gist(reason).replace(VARIES, "…").slice(0, 300);

/** The longest words of a reason that all of its group have, to find them by. */
const wordsOf = (shape) => shape.split("…").flatMap((part) => part.split(/[{}[\]":,]{2,}|[{}[\]"]/)).map((part) => part.trim())
  .sort((one, other) => other.length - one.length)[0].slice(0, 200);

function row(kind, query) {
  return (group) => {
    const jobs = el("td", { class: "number", "data-name": "jobs" }), time = ago(null), sources = el("td", { class: "sources" });
    const words = wordsOf(group.shape);
    const to = new URLSearchParams([...query].filter(([name]) => name !== "group"));
    if (words) to.set("reason", words);
    const reason = el("a", { class: "go reason words", href: href(kind, null, to), title: group.example }, group.shape || "no reason was given");
    function update(now) {
      setText(jobs, count(now.jobs));
      setTime(time, now.newest);
      const shown = [...now.sources].slice(0, 3);
      sources.replaceChildren(...shown.map((source) => sourceLink(source)), now.sources.size > 3 ? `and ${now.sources.size - 3} more` : "");
    }
    return { line: el("tr", { class: "group" }, jobs, el("td", { class: "job" }, reason), sources, el("td", { class: "time", "data-name": "newest" }, time)), update };
  };
}

/** The groups of the jobs that a filter means; `some` jobs at first. */
export function groups(kind, query, filter, some = SOME) {
  const found = new Map();
  let grouped = 0, next = null, busy = false;
  const shown = table({ label: "Reasons", columns: [["Jobs", "number"], "Reason", "Sources", "Newest"], key: (group) => group.shape, make: row(kind, query) });
  const how = el("p", { class: "note loading", role: "status" }, "Looking …");
  const more = el("button", { hidden: true, onclick: () => read() }, `Group ${count(some)} more`);
  const none = empty("No job matches that has ended without success.");
  none.hidden = true;
  const wrong = complaint();
  const element = el("div", { class: "contents" }, how, wrong.element, el("section", { "aria-label": "Reasons" }, shown.element, none, el("div", { class: "pages" }, more)));

  function add(job) {
    if (job.outcome === "completed") return;
    const shape = shapeOf(job.reason);
    const group = found.get(shape) ?? { shape, example: job.reason.slice(0, 1000), jobs: 0, sources: new Set(), newest: job.finished };
    group.jobs++;
    group.sources.add(job.source);
    found.set(shape, group);
    grouped++;
  }

  function show() {
    shown.show([...found.values()].sort((one, other) => other.jobs - one.jobs));
    const of = next ? `the newest ${many(grouped, "job")} that match; there are more` : `all ${many(grouped, "job")} that match`;
    setText(how, !grouped ? "" : `${many(found.size, "reason")} of ${of}. Numbers and ids in a reason are left out.`);
    none.hidden = grouped > 0;
    more.hidden = !next;
  }

  async function read() {
    if (busy) return;
    busy = true;
    const end = grouped + some;
    try {
      do {
        const answer = await findPage(filter, next, AT_ONCE);
        answer.jobs.forEach(add);
        next = answer.next;
        show();
      } while (next && grouped < end && (element.isConnected || !grouped));
    } catch (error) {
      wrong.tell(error);
    }
    how.classList.remove("loading");
    busy = false;
  }
  return { element, ready: read() };
}
