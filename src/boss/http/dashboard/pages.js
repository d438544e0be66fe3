// Which page an address has.

import { auditPage } from "./audit.js";
import { convertersPage } from "./converters.js";
import { el } from "./dom.js";
import { jobPage } from "./job.js";
import { jobsPage } from "./jobs.js";
import { overviewPage } from "./overview.js";
import { may } from "./rights.js";
import { href } from "./router.js";
import { schedulesPage } from "./schedules.js";
import { sourcePage } from "./source.js";
import { sourcesPage } from "./sources.js";
import { toldPage } from "./told.js";

// Pages by the name in their address, those with a part after it apart.
const PAGES = new Map([
  ["", overviewPage],
  ["sources", sourcesPage],
  ["active", jobsPage("active")],
  ["failed", jobsPage("failed")],
  ["jobs", jobsPage("jobs")],
  ["converters", convertersPage],
  ["schedules", schedulesPage],
  ["audit", auditPage],
  ["metrics", toldPage],
  ["health", toldPage],
]);
const OF_ONE = new Map([["job", jobPage], ["source", sourcePage]]);

// The links to pages, with the right that each needs, for the navigation and for the footer.
const LINKS = [["", "Overview"], ["sources", "Sources"], ["active", "Active"], ["failed", "Failed"], ["jobs", "Jobs"], ["converters", "Converters"],
  ["schedules", "Schedules"], ["audit", "Audit", "administer"]];
const MORE = [["metrics", "Metrics", "monitor"], ["health", "Health", "monitor"]];
// Which link is that of the pages that have none.
const UNDER = new Map([["job", "jobs"], ["source", "sources"]]);

function unknownPage() {
  const element = el("div", { class: "contents" }, el("h1", {}, "There is no page at this address"),
    el("p", {}, "Perhaps the link was cut off. ", el("a", { href: href("") }, "Go to the overview"), "."));
  return { title: "No such page", element, update() {}, tick() {} };
}

/** Make the page at an address. */
export function pageAt(address) {
  const make = address.part ? OF_ONE.get(address.name) : address.part === null && PAGES.get(address.name);
  return (make || unknownPage)(address);
}

const links = (all) => all.filter(([, , right]) => !right || may(right)).map(([name, text]) => el("a", { href: href(name), "data-name": name }, text));
export const navigation = () => links(LINKS);
export const footer = () => links(MORE);

/** Mark the link of the page that is shown. */
export function markCurrent(nav, { name }) {
  for (const link of nav.querySelectorAll("a")) {
    if (link.dataset.name === (UNDER.get(name) ?? name)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}
