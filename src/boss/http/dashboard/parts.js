// The small parts that all pages are made of.

import { el } from "./dom.js";
import { jobAddress, sourceAddress } from "./router.js";

// A name that is longer is cut in the middle where there is no room for it.
const LONG = 30;
const END = 10;

/** A name that may be longer than `most`, cut in the middle where it does not fit, with the whole on hover. */
export function name(text, tag = "span", attributes = {}, most = LONG) {
  if (text.length <= most) return el(tag, attributes, text);
  const shown = { ...attributes, class: `cut ${attributes.class ?? ""}`, title: text };
  if (tag === "a") shown["aria-label"] = text;
  return el(tag, shown, el("span", {}, text.slice(0, -END)), el("span", {}, text.slice(-END)));
}

/** Copy names that are cut as a whole: their two parts are no lines. */
export function copyNames(event) {
  const chosen = getSelection();
  let text = String(chosen);
  for (const [begin, end] of [...document.querySelectorAll(".cut")].filter((each) => chosen.containsNode(each, true)).map((each) => [...each.children])) {
    text = text.replaceAll(`${begin.textContent.slice(-3)}\n${end.textContent}`, begin.textContent.slice(-3) + end.textContent);
  }
  if (text === String(chosen)) return;
  event.clipboardData.setData("text/plain", text);
  event.preventDefault();
}

/** A link to a job. `j` and `k` go from one such link to the next. */
export const jobLink = (id) => name(id, "a", { class: "id go", href: jobAddress(id) });
export const sourceLink = (source, kind = "source") => name(source, "a", { class: kind, href: sourceAddress(source) });

export const pill = (word) => el("span", { class: `pill ${word}` }, word);

/** What stands where a list has nothing: what that means, and what to do first. */
export const empty = (...content) => el("div", { class: "empty" }, ...content);

/** A part of a page with a heading. */
export function section(title, { level = 2, tools = [], kind = "" } = {}, ...content) {
  const id = `section-${title.toLowerCase().replace(/\W+/g, "-")}`;
  return el("section", { "aria-labelledby": id, class: kind },
    el("div", { class: "head" }, el(`h${level}`, { id }, title), tools.length ? el("div", { class: "tools" }, ...tools) : null), ...content);
}

/** A page with a heading, what may be done to all of it, and its content. */
export const page = (title, tools, ...content) =>
  el("div", { class: "contents" }, el("div", { class: "title" }, el("h1", {}, title), el("div", { class: "actions" }, ...tools)), ...content);

export const option = (value, text, chosen) => el("option", { value, selected: value === chosen }, text);

/** A line for an error, which is read out when it is said. */
export function complaint() {
  const element = el("p", { class: "wrong", role: "alert", hidden: true });
  const tell = (error) => {
    element.textContent = error?.message ?? "";
    element.hidden = !error;
  };
  return { element, tell };
}
