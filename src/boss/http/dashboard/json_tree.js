// JSON as a tree that folds. What is folded is neither parsed nor drawn before it is opened.

import { el, say, setText } from "./dom.js";
import { parts, pretty } from "./json.js";
import { count, linesOf, many } from "./words.js";

// How many lines are open at first, and how long a part may be to be open.
const LINES = 150, OPEN = 4000, DEEP = 12;
// How many members are shown at once, and how much of a long text.
const MEMBERS = 100, LONG = 2000;

const keyed = (key) => (key === null ? [] : [el("span", { class: "key" }, key), ": "]);
const isTree = (text) => text[0] === "{" || text[0] === "[";

/** A text of several lines, such as a traceback, as lines. */
function lines(key, decoded, end) {
  return el("div", { class: "leaf" }, keyed(key), el("span", { class: "note" }, many(decoded.split("\n").length, "line")), end,
    long(decoded, (text) => el("div", { class: linesOf(text), tabindex: 0 }, text)));
}

/** A text, of which only the beginning is shown when it is very long. */
function long(text, show) {
  if (text.length <= LONG) return show(text);
  const all = () => place.replaceChildren(show(text));
  const place = el("span", {}, show(text.slice(0, LONG)), el("button", { class: "plain link", onclick: all }, `… show all ${count(text.length)} characters`));
  return place;
}

function leaf(key, text, end) {
  if (text[0] === '"' && text.includes("\\n")) return lines(key, JSON.parse(text), end);
  const kind = text[0] === '"' ? "string" : "value";
  return el("div", { class: "leaf" }, keyed(key), long(text, (shown) => el("span", { class: kind }, shown)), end);
}

function branch(key, text, end, budget, depth) {
  const [open, close] = text[0] === "{" ? ["{", "}"] : ["[", "]"];
  const inside = el("div", { class: "inner" });
  const element = el("details", {}, el("summary", {}, keyed(key), open), inside, el("div", {}, close + end));
  let isFilled = false;
  function fill(left) {
    if (isFilled) return;
    isFilled = true;
    const all = parts(text);
    element.firstChild.dataset.many = many(all.length, open === "{" ? "member" : "element");
    more(inside, all, 0, left, depth);
  }
  element.addEventListener("toggle", () => element.open && fill({ lines: LINES }));
  if (depth === 0 || (text.length <= OPEN && depth < DEEP && budget.lines > 0)) {
    fill(budget);
    element.open = true;
  } else element.firstChild.dataset.many = `${count(text.length)} characters`;
  return element;
}

function more(inside, all, from, budget, depth) {
  const shown = all.slice(from, from + MEMBERS);
  inside.append(...shown.map(([key, value], place) => node(key, value, from + place + 1 < all.length ? "," : "", budget, depth + 1)));
  const left = all.length - from - shown.length;
  if (!left) return;
  const button = el("button", { class: "plain link", onclick: () => (button.remove(), more(inside, all, from + MEMBERS, { lines: LINES }, depth)) },
    `… show ${count(Math.min(left, MEMBERS))} more of ${count(all.length)}`);
  inside.append(button);
}

function node(key, text, end, budget, depth) {
  budget.lines--;
  if (!isTree(text) || /^[{[]\s*[}\]]$/.test(text)) return leaf(key, text, end);
  return branch(key, text, end, budget, depth);
}

const tree = (text) => el("div", { class: "json" }, node(null, text, "", { lines: LINES }, 0));

/** JSON text as a tree, with buttons for the same as plain text, and to copy it. */
export function jsonTree(text) {
  let isText = false;
  const place = el("div", {}, tree(text));
  // Its name says what it does next.
  const toggle = el("button", { class: "plain link", onclick: change }, "As text");
  function change() {
    isText = !isText;
    setText(toggle, isText ? "As tree" : "As text");
    place.replaceChildren(isText ? el("pre", { class: "text", tabindex: 0 }, pretty(text)) : tree(text));
  }
  // Browsers let a page copy only on this machine or over HTTPS.
  const copied = () => navigator.clipboard.writeText(pretty(text)).then(() => say("Copied."), (error) => say(error.message));
  const copy = navigator.clipboard && el("button", { class: "plain link", onclick: copied }, "Copy");
  return { element: place, tools: [toggle, copy].filter(Boolean) };
}
