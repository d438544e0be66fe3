// The audit events: what administrators did, the newest first.

import * as boss from "./boss.js";
import { el, setText } from "./dom.js";
import { complaint, empty, jobLink, page, sourceLink } from "./parts.js";
import { href } from "./router.js";
import { table } from "./table.js";
import { ago, moment } from "./times.js";
import { duration, many } from "./words.js";

const LIMIT = 50;

const INSTANT = /^\d{4}-\d\d-\d\dT/;

function detail([key, value]) {
  if (INSTANT.test(value)) return el("span", { class: "detail" }, el("span", { class: "note" }, `${key} `), moment(value));
  const shown = key === "source" && typeof value === "string" ? sourceLink(value, "") : key === "job" && typeof value === "string" ? jobLink(value)
    : key === "expires" && typeof value === "number" ? `in ${duration(value)}` : Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value);
  return el("span", { class: "detail" }, el("span", { class: "note" }, `${key} `), shown);
}

function row(event) {
  const what = Object.entries(event.what ?? {}).filter(([, value]) => value !== null);
  const line = el("tr", {},
    el("td", { class: "time" }, moment(event.at), el("div", { class: "note" }, ago(event.at))),
    el("td", { class: "time", "data-name": "by" }, event.by ?? "no token"),
    el("td", {}, el("b", {}, event.did)),
    el("td", { class: "details" }, what.map(detail)));
  return { line };
}

export function auditPage({ query }) {
  const before = query.get("before");
  const shown = table({ label: "Audit events", columns: ["When", "Who", "Did", "Details"], key: (event) => event.number, make: row });
  const none = empty("Nothing yet. What administrators do that is kept with no job is listed here: rules, tokens, schedules, and acts on many jobs.");
  none.hidden = true;
  const wrong = complaint();
  const how = el("p", { class: "note", role: "status" }, "Looking …");
  const foot = el("nav", { class: "pages", "aria-label": "Pages", hidden: true });
  const again = el("button", { onclick: () => read() }, "Refresh");
  const element = page("Audit", [again], wrong.element, how, el("section", { "aria-label": "Audit events" }, shown.element, none, foot));
  let isUnread = false;
  async function read() {
    isUnread = false;
    try {
      const { acts, next } = await boss.json("GET", `/audit?${new URLSearchParams({ limit: LIMIT, ...(before ? { before } : {}) })}`);
      shown.show(acts);
      none.hidden = acts.length > 0;
      setText(how, `${many(acts.length, "event")}${next ? "; there are more" : ""}`);
      const following = next && href("audit", null, { before: new URLSearchParams(next.split("?")[1]).get("before") });
      const first = before && el("a", { class: "button", href: href("audit") }, "First page");
      foot.replaceChildren(...[first, following && el("a", { class: "button next", href: following, rel: "next" }, "Next page")].filter(Boolean));
      foot.hidden = !foot.childNodes.length;
      wrong.tell(null);
    } catch (error) {
      isUnread = boss.mayPass(error);
      setText(how, "");
      if (!error.away) wrong.tell(error);
    }
  }
  return { title: "Audit", element, update: () => isUnread && read(), tick() {}, ready: read() };
}
