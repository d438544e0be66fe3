// The bar with the filter of a list of jobs. What is chosen is in the address, so that a link has it.

import { el } from "./dom.js";
import { state } from "./feed.js";
import { LAST, OUTCOMES } from "./finding.js";
import { option } from "./parts.js";
import { go, href } from "./router.js";
import { fromField, toField, zoneName } from "./times.js";

const STATES = ["available", "active", "done"];
const labelled = (text, input) => el("label", {}, text, input);

function choice(name, text, any, values, chosen) {
  // What an address says is shown even when it is wrong: it must not look like "any".
  const all = [["", any], ...values];
  if (!all.some(([value]) => value === chosen)) all.push([chosen, chosen]);
  return labelled(text, el("select", { name }, all.map(([value, shown]) => option(value, shown, chosen))));
}

/** A field for a time, in the zone that the switch says; `data-name` is its name without the zone. */
const timeField = (name, text, time) =>
  labelled(`${text} (${zoneName()})`, el("input", { name, type: "datetime-local", step: 1, value: toField(time), "data-name": text }));

/** What a reset shows in the fields for times: the switch may say another zone than when they were made. */
function inZone(form, query) {
  for (const input of form.querySelectorAll("input[type=datetime-local]")) {
    input.defaultValue = toField(query.get(input.name));
    input.labels[0].firstChild.data = `${input.dataset.name} (${zoneName()})`;
  }
}

function times(query) {
  const between = query.get("since") || query.get("until") || query.get("last") === "between";
  const chosen = between ? "between" : query.get("last") ?? "";
  const last = choice("last", "Time", "any time", [...[...LAST].map(([key, [text]]) => [key, text]), ["between", "between …"]], chosen);
  if (!between) return [last];
  return [last, timeField("since", "From", query.get("since")), timeField("until", "Before", query.get("until"))];
}

function fields(kind, query) {
  const [any, outcomes] = kind === "failed" ? ["failed or abandoned", ["failed", "abandoned"]] : ["any outcome", OUTCOMES];
  const words = (name, text, more) => labelled(text, el("input", { name, autocomplete: "off", value: query.get(name) ?? "", ...more }));
  return [
    kind === "jobs" && choice("state", "State", "any state", STATES.map((each) => [each, each]), query.get("state") ?? ""),
    kind !== "active" && choice("outcome", "Outcome", any, outcomes.map((each) => [each, each]), query.get("outcome") ?? ""),
    words("source", "Source", { list: "filter-sources", maxlength: 100, placeholder: "any source" }),
    kind !== "active" && words("reason", "Words in the reason", { type: "search", maxlength: 200, placeholder: "any reason" }),
    ...times(query),
  ].filter(Boolean);
}

// Active jobs have no reason by which they could be grouped.
const groupOf = (kind, query) => (kind === "active" ? "" : query.get("group"));

/** The filter that a form says. An outcome or a reason is that of done jobs. */
function chosen(form, kind, before) {
  const now = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
  if (now.last === "between") {
    // A field has whole seconds. A time that nobody has changed stays as exact as it is.
    const [since, until] = ["since", "until"].map((name) => (fromField(now[name]) === fromField(toField(before.get(name))) ? before.get(name) : fromField(now[name])));
    Object.assign(now, { since, until, last: since || until ? "" : "between" });
  } else Object.assign(now, { since: "", until: "" });
  if (kind === "jobs" && now.state && now.state !== "done") {
    // Whoever chooses a state means it; whoever chooses an outcome means done jobs.
    if (now.state !== before.get("state")) Object.assign(now, { outcome: "", reason: "", group: "" });
    else if (now.outcome || now.reason) now.state = "done";
  }
  return { ...now, group: now.group ?? groupOf(kind, before) };
}

/** The bar; whatever is changed in it leads to the address of the list with the new filter. */
export function filterBar(kind, query) {
  const sources = el("datalist", { id: "filter-sources" }, [...state.counts.keys()].sort().map((source) => el("option", { value: source })));
  const here = location.hash;
  const asked = () => href(kind, null, chosen(form, kind, query));
  // A field also tells of a change when Back takes it away with its page: that leads nowhere.
  const change = () => queueMicrotask(() => {
    if (form.isConnected && location.hash === here && asked() !== before) go(asked());
  });
  const some = ["state", "outcome", "source", "reason", "last", "since", "until"].some((name) => query.get(name));
  const clear = some ? el("a", { class: "clear", href: href(kind, null, { group: groupOf(kind, query) }) }, "Clear") : null;
  const submitted = (event) => {
    event.preventDefault();
    change();
  };
  // A field for a time changes with each digit. It counts when it is left.
  const isTime = ({ target }) => target.type === "datetime-local";
  const form = el("form", { class: "filters", "aria-label": "Filter", onsubmit: submitted, onreset: () => inZone(form, query),
    onchange: (event) => isTime(event) || change(), onfocusout: (event) => isTime(event) && change() }, ...fields(kind, query), clear, sources,
    el("button", { type: "submit", hidden: true }, "Filter")); // with it, Enter sends the form from any field
  const before = asked();
  return form;
}
