// Failed jobs by their reasons. What is grouped are the newest jobs that match, and how many they are is said.

import { mayPass } from "./boss.js";
import { el, setText } from "./dom.js";
import { findPage } from "./finding.js";
import { complaint, empty, sourceLink } from "./parts.js";
import { href, jobAddress } from "./router.js";
import { table } from "./table.js";
import { ago, setTime } from "./times.js";
import { beginning, count, gist, LEASE_RAN_OUT, many, sentence } from "./words.js";

// How many jobs are grouped at first, and with each "more"; and how many are asked for at once.
const SOME = 1000, AT_ONCE = 100;
// Numbers and ids differ from job to job where the reason is the same.
const VARIES = /[0-9A-Za-z]*[0-9][0-9A-Za-z_-]*(?:[.,:][0-9A-Za-z]*[0-9]+)*/g;

// A code says what happened, as in `HTTP 404` or `base 10`: a short number behind one of these words.
const isCode = (number, before) => /^\d{1,3}$/.test(number) && /\b(HTTP|status|code|errno|base)[ :=]{1,2}$/i.test(before);

// The group of the abandoned jobs without a reason.
const LOST = sentence(LEASE_RAN_OUT);

/** What reasons have in common that differ in numbers and ids alone. */
const shapeOf = (reason) => beginning(gist(reason).replace(VARIES, (number, place, all) => (isCode(number, all.slice(0, place)) ? number : "…")), 300);

/** The longest words of a reason that all of its group have, to find them by. */
const wordsOf = (shape) => beginning(shape.split("…").flatMap((part) => part.split(/[{}[\]":,]{2,}|[{}[\]"]/)).map((part) => part.trim())
  .sort((one, other) => other.length - one.length)[0], 200).trim();

/** The filter that finds a group and nothing else: its words or its outcome, from its oldest job to its newest. */
function filterOfGroup(query, { shape, words, oldest, newest }) {
  const to = new URLSearchParams([...query].filter(([name]) => !["group", "last", "after"].includes(name)));
  if (shape === LOST) to.set("outcome", "abandoned");
  else to.set("reason", words);
  to.set("since", oldest);
  to.set("until", new Date(Date.parse(newest) + 1).toISOString());
  return to;
}

function row(kind, query) {
  return (group) => {
    const jobs = el("td", { class: "number", "data-name": "jobs" }), time = ago(null), sources = el("td", { class: "sources" });
    const reason = el("a", { class: "go reason words", title: group.example, dir: "auto" }, group.shape || "no reason was given");
    const why = el("span", { class: "note" }, "No words find these jobs alone. The link is the newest one.");
    function update(now) {
      setText(jobs, count(now.jobs));
      setTime(time, now.newest);
      why.hidden = now.isAlone;
      reason.href = now.isAlone ? href(kind, null, filterOfGroup(query, now)) : jobAddress(now.id);
      const shown = [...now.sources].slice(0, 3);
      sources.replaceChildren(...shown.map((source) => sourceLink(source)), now.sources.size > 3 ? `and ${now.sources.size - 3} more` : "");
    }
    return { line: el("tr", { class: "group" }, jobs, el("td", { class: "job" }, reason, why), sources, el("td", { class: "time", "data-name": "newest" }, time)), update };
  };
}

/** The groups of the jobs that a filter means; `some` jobs at first. `update()` reads again what could not be read. */
export function groups(kind, query, filter, some = SOME) {
  const found = new Map();
  // What Boss looks for words in: the reasons of all jobs read, and the results of those that completed.
  const texts = [];
  const asked = (query.get("reason") ?? "").toLowerCase();
  let grouped = 0, next = null, busy = false, isUnread = false;
  const shown = table({ label: "Reasons", columns: [["Jobs", "number"], "Reason", "Sources", "Newest"], key: (group) => group.shape, make: row(kind, query) });
  const how = el("p", { class: "note loading", role: "status" }, "Looking …");
  const more = el("button", { hidden: true, onclick: () => read() }, `Group ${count(some)} more`);
  const none = empty("No job that matches has failed.");
  none.hidden = true;
  const wrong = complaint();
  const element = el("div", { class: "contents" }, how, wrong.element, el("section", { "aria-label": "Reasons" }, shown.element, none, el("div", { class: "pages" }, more)));

  function begin(shape, job) {
    const words = job.isLost ? "" : wordsOf(shape);
    // Words without those of the filter would also find jobs that the filter leaves out.
    const isAlone = job.isLost ? !asked : words !== "" && words.toLowerCase().includes(asked);
    const example = job.isLost ? shape : beginning(job.reason, 1000);
    return { shape, words, isAlone, looked: 0, example, jobs: 0, sources: new Set(), newest: job.finished, id: job.id };
  }

  function add(job) {
    const shape = job.outcome === "completed" ? null : job.isLost ? LOST : shapeOf(job.reason);
    texts.push([shape, job.isLong ? "" : job.reason.toLowerCase(), job.outcome]);
    if (shape === null) return;
    const group = found.get(shape) ?? begin(shape, job);
    group.jobs++;
    group.sources.add(job.source);
    group.oldest = job.finished;
    if (job.isLong) group.isAlone = false; // no words find it
    found.set(shape, group);
    grouped++;
  }

  /** Whether the words of a group, or its outcome, find no job of another one. The texts that it was compared with are not read again. */
  function compare(group) {
    const words = group.words.toLowerCase();
    for (; group.isAlone && group.looked < texts.length; group.looked++) {
      const [shape, text, outcome] = texts[group.looked];
      if (shape !== group.shape && (group.shape === LOST ? outcome === "abandoned" : text.includes(words))) group.isAlone = false;
    }
  }

  function show() {
    for (const group of found.values()) compare(group);
    shown.show([...found.values()].sort((one, other) => other.jobs - one.jobs));
    const of = next ? `the newest ${many(grouped, "job")} that match; there are more` : grouped === 1 ? "the one job that matches" : `all ${count(grouped)} jobs that match`;
    setText(how, !grouped ? "" : `${many(found.size, "reason")} of ${of}. Numbers and ids in a reason are left out, but for codes.`);
    none.hidden = grouped > 0;
    more.hidden = !next;
  }

  async function read() {
    if (busy) return;
    [busy, isUnread] = [true, false];
    const end = grouped + some;
    try {
      do {
        const answer = await findPage(filter, next, AT_ONCE);
        answer.jobs.forEach(add);
        next = answer.next;
        wrong.tell(null);
        show();
      } while (next && grouped < end && (element.isConnected || !grouped));
    } catch (error) {
      isUnread = mayPass(error);
      wrong.tell(error);
      if (!grouped) setText(how, "");
    }
    how.classList.remove("loading");
    busy = false;
  }
  return { element, update: () => isUnread && read(), ready: read() };
}
