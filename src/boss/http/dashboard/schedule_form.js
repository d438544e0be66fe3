// The form of a schedule, for a new one and for one that is changed.

import * as boss from "./boss.js";
import { checkJson, field, form, jsonField, line, open, pair } from "./dialog.js";
import { el, say } from "./dom.js";
import { state } from "./feed.js";
import { pretty } from "./json.js";
import { option } from "./parts.js";

const NEW = { name: "", source: "", cron: "0 3 * * *", zone: Intl.DateTimeFormat().resolvedOptions().timeZone, missed: "run once", paused: false };

/** Ask for the fields of a schedule; null for a new one. */
export function askForSchedule(schedule, after) {
  const now = schedule ?? NEW;
  const sources = el("datalist", { id: "sources" }, [...state.counts.keys()].map((source) => el("option", { value: source })));
  const fields = [
    sources,
    pair(field("Name", line("name", { value: now.name, maxlength: 47, readonly: schedule !== null })),
      field("Source", line("source", { list: "sources", value: now.source }))),
    pair(field("Cron line: minute hour day month weekday", line("cron", { value: now.cron })), field("Time zone", line("zone", { value: now.zone }))),
    field("Moments that passed while no Boss was running",
      el("select", { name: "missed" }, option("run once", "run once for all of them", now.missed), option("skip", "skip them", now.missed))),
    el("label", { class: "check" }, el("input", { type: "checkbox", name: "paused", checked: now.paused }), "Paused: it submits no jobs"),
    jsonField("Document of its jobs, a JSON object", "job", schedule ? pretty(schedule.raw.job) : "{\n  \n}"),
  ];
  const act = async ({ name, job, paused, ...rest }) => {
    if (!name) throw new Error("Say how the schedule is called.");
    checkJson("The document", job);
    const texts = Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, JSON.stringify(value.trim())]));
    await boss.setSchedule(name, { ...texts, job, paused: String(paused === "on") });
    say(`Set the schedule ${name}.`);
    after();
  };
  open(schedule ? `Schedule ${schedule.name}` : "New schedule", form(fields, { act, does: "Set it" })).querySelector("input:not([readonly])").focus();
}
