// The schedules: when each submits its next job, and what became of its last one.

import * as boss from "./boss.js";
import { confirm } from "./dialog.js";
import { el, say, setChildren } from "./dom.js";
import { members, parts } from "./json.js";
import { complaint, empty, jobLink, name as named, page, pill, sourceLink } from "./parts.js";
import { may } from "./rights.js";
import { askForSchedule } from "./schedule_form.js";
import { table } from "./table.js";
import { ago, moment, setTime } from "./times.js";

const AGAIN = 10_000;

/** The last job of a schedule. The ids of its jobs are its name and a moment, so the greatest below "NAME-3" is the last until the year 3000. */
async function lastJob({ name, source }) {
  const query = new URLSearchParams({ source, after: `${name}-3`, limit: 1 });
  const [job] = (await boss.json("GET", `/jobs?${query}`)).jobs;
  return job?.id.startsWith(`${name}-2`) ? job : null;
}

/** Set a schedule that is there already, with some fields changed. Its document stays as it is, digit by digit. */
async function changeSchedule(schedule, changes) {
  const { next: _next, name: _name, ...raw } = schedule.raw;
  await boss.setSchedule(schedule.name, { ...raw, ...changes });
}

function buttons(schedule, again) {
  const does = (act, sentence) => async () => {
    try {
      await act();
      say(sentence);
    } catch (error) {
      say(error.message);
    }
    again();
  };
  const button = (text, act, kind) => el("button", { class: kind, "aria-label": `${text} ${schedule.name}`, onclick: act }, text);
  const { name, paused } = schedule;
  const pause = () => changeSchedule(schedule, { paused: String(!paused) });
  return [
    button("Run now", () => confirm(`Run ${name} now?`, `A job of ${schedule.source} is submitted at once; the next moment stays.`, "Run it",
      does(() => boss.runSchedule(name), `${name} has submitted a job.`))),
    button(paused ? "Resume" : "Pause", does(pause, `${name} is ${paused ? "resumed" : "paused"}.`)),
    button("Edit", () => askForSchedule(schedule, again)),
    button("Delete", () => confirm(`Delete the schedule ${name}?`, "Its jobs stay.", "Delete it",
      does(() => boss.deleteSchedule(name), `Deleted the schedule ${name}.`), true), "bad"),
  ];
}

function row(again) {
  return (item) => {
    const next = moment(null), left = ago(null), last = el("td", { class: "last" }), tools = el("td", { class: "tools" });
    const when = el("td"), cron = el("td");
    let shown = "";
    function update(now) {
      setTime(next, now.next);
      setTime(left, now.next);
      const text = JSON.stringify(now.raw);
      if (text === shown) return;
      shown = text;
      setChildren(cron, [el("code", {}, now.cron), el("span", { class: "note" }, ` ${now.zone}`)]);
      setChildren(when, now.paused ? [pill("paused")] : [next, el("span", { class: "note" }, " ", left)]);
      setChildren(tools, may("administer", now.source) ? buttons(now, again) : []);
      lastJob(now).then((job) => setChildren(last, job ? [jobLink(job.id), pill(job.outcome ?? job.state)] : [el("span", { class: "note" }, "none yet")]), () => {});
    }
    const line = el("tr", {}, el("td", { class: "job" }, named(item.name, "b"), sourceLink(item.source)), cron, when, last, tools);
    return { line, update };
  };
}

export function schedulesPage() {
  const admin = may("administer");
  const shown = table({ label: "Schedules", columns: ["Schedule", "Cron line", "Next", "Last job", ""], key: (item) => item.name, make: row(() => read()) });
  const none = empty("There is no schedule. A schedule submits a job by itself, at the moments of a cron line. ",
    el("code", {}, "boss schedule"), admin ? " or the button above makes the first one." : " makes one.");
  none.hidden = true;
  const wrong = complaint();
  const make = admin && el("button", { class: "main", onclick: () => askForSchedule(null, () => read()) }, "New schedule");
  const element = page("Schedules", [make].filter(Boolean), wrong.element, el("section", { "aria-label": "Schedules" }, shown.element, none));
  let last = 0, reading = false;
  async function read() {
    if (reading) return;
    reading = true;
    try {
      const text = await boss.schedules();
      const raws = parts(members(text).schedules).map(([, each]) => members(each));
      const found = JSON.parse(text).schedules.map((each, place) => ({ ...each, raw: raws[place] }));
      shown.show(found);
      none.hidden = found.length > 0;
      wrong.tell(null);
    } catch (error) {
      if (!error.away) wrong.tell(error);
    }
    [reading, last] = [false, Date.now()];
  }
  return { title: "Schedules", element, update() {}, tick: () => Date.now() - last > AGAIN && read(), ready: read() };
}
