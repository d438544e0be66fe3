// JSON as a tree that folds. What is folded is neither parsed nor drawn before it is opened.

import { el, say, setText } from "./dom.js";
import { parts, pretty } from "./json.js";
import { beginning, count, linesOf, many } from "./words.js";

// How many lines are open at first, and how long a part may be to be open.
const LINES = 150, OPEN = 4000, DEEP = 12;
// How many members are shown at once, and how much of a long text.
const MEMBERS = 100, LONG = 2000;

const keyed = (key) => (key === null ? [] : [el("bdi", { class: "key" }, key), ": "]);
const isTree = (text) => text[0] === "{" || text[0] === "[";
const isEmpty = (text) => /^[{[]\s*[}\]]$/.test(text);

/** A text of several lines, such as a traceback, as lines. */
function lines(key, decoded, end) {
  return el("div", { class: "leaf" }, keyed(key), el("span", { class: "note" }, many(decoded.split("\n").length, "line")), end,
    long(decoded, (text) => el("div", { class: linesOf(text), tabindex: 0, dir: "auto" }, text)));
}

/** A text, of which only the beginning is shown when it is very long. */
function long(text, show) {
  if (text.length <= LONG) return show(text);
  const all = () => place.replaceChildren(show(text));
  const place = el("span", {}, show(beginning(text, LONG)), el("button", { class: "plain link", onclick: all }, `… show all ${count(text.length)} characters`));
  return place;
}

/** What tells members apart: their keys, or else their places. */
function namesOf(all) {
  const keys = new Set(all.map(([key]) => key));
  return all.map(([key], place) => (keys.size === all.length ? key ?? place : place));
}

// A node is an element, the text that it shows, and `update(text, comma)`, which says whether it could show another text in place.

function leaf(key, text, comma) {
  const end = document.createTextNode(comma);
  function element() {
    // A backslash before an n may be one of the text itself.
    const decoded = text[0] === '"' && text.includes("\\n") ? JSON.parse(text) : "";
    if (decoded.includes("\n")) return lines(key, decoded, end);
    const kind = text[0] === '"' ? "string" : "value";
    return el("div", { class: "leaf" }, keyed(key), long(text, (shown) => el("bdi", { class: kind }, shown)), end);
  }
  return { text, element: element(), update: (now, more) => ((end.data = more), now === text) };
}

function branch(key, text, comma, budget, depth) {
  const [open, close] = text[0] === "{" ? ["{", "}"] : ["[", "]"];
  const inside = el("div", { class: "inner" }), end = el("div", {}, close + comma);
  const element = el("details", {}, el("summary", {}, keyed(key), open), inside, end);
  const nodes = new Map();
  let most = MEMBERS, isFilled = false;
  const made = { text, element, update };

  /** Show the members. What is unchanged stays as it is: somebody may have selected, folded or opened it. */
  function fill(left) {
    isFilled = true;
    const all = parts(made.text), shown = all.slice(0, most);
    element.firstChild.dataset.many = many(all.length, open === "{" ? "member" : "element");
    const names = namesOf(shown), known = new Set(names);
    for (const name of nodes.keys()) if (!known.has(name)) forget(name);
    shown.forEach(([key, value], place) => {
      const element = member(names[place], key, value, place + 1 < all.length ? "," : "", left);
      if (inside.children[place] !== element) inside.insertBefore(element, inside.children[place] ?? null);
    });
    inside.querySelector(":scope > button")?.remove();
    if (all.length > most) inside.append(more(all.length));
  }

  /** The element of a member: the one that is there, if it can show this value. */
  function member(name, key, value, comma, left) {
    if (!nodes.get(name)?.update(value, comma)) {
      forget(name);
      nodes.set(name, node(key, value, comma, left, depth + 1));
    }
    return nodes.get(name).element;
  }

  function forget(name) {
    nodes.get(name)?.element.remove();
    nodes.delete(name);
  }

  function more(all) {
    const next = () => {
      most += MEMBERS;
      fill({ lines: LINES });
    };
    return el("button", { class: "plain link", onclick: next }, `… show ${count(Math.min(all - most, MEMBERS))} more of ${count(all)}`);
  }

  function update(now, comma) {
    if (!isTree(now) || isEmpty(now) || now[0] !== open) return false;
    setText(end, close + comma);
    if (now === made.text) return true;
    made.text = now;
    if (isFilled) fill({ lines: LINES });
    else element.firstChild.dataset.many = `${count(now.length)} characters`;
    return true;
  }

  element.addEventListener("toggle", () => element.open && !isFilled && fill({ lines: LINES }));
  if (depth === 0 || (text.length <= OPEN && depth < DEEP && budget.lines > 0)) {
    fill(budget);
    element.open = true;
  } else element.firstChild.dataset.many = `${count(text.length)} characters`;
  return made;
}

function node(key, text, comma, budget, depth) {
  budget.lines--;
  return (isTree(text) && !isEmpty(text) ? branch : leaf)(key, text, comma, budget, depth);
}

/** A text as a tree; `update(text)` keeps what is unchanged. */
function tree(text) {
  const element = el("div", { class: "json" });
  let root = null;
  function update(now) {
    if (root?.update(now, "")) return;
    root = node(null, now, "", { lines: LINES }, 0);
    element.replaceChildren(root.element);
  }
  update(text);
  return { element, update };
}

/** A text as indented lines. */
function plain(text) {
  const element = el("pre", { class: "text", tabindex: 0 }, pretty(text));
  return { element, update: (now) => setText(element, pretty(now)) };
}

/** JSON text as a tree, with buttons for the same as plain text, and to copy it; `update(text)` shows another text in the same way. */
export function jsonTree(text) {
  let isText = false, shown = tree(text);
  const place = el("div", {}, shown.element);
  // Its name says what it does next.
  const toggle = el("button", { class: "plain link", onclick: change }, "As text");
  function change() {
    isText = !isText;
    setText(toggle, isText ? "As tree" : "As text");
    shown = (isText ? plain : tree)(text);
    place.replaceChildren(shown.element);
  }
  function update(now) {
    if (now === text) return;
    text = now;
    shown.update(now);
  }
  // Browsers let a page copy only on this machine or over HTTPS.
  const copied = () => navigator.clipboard.writeText(pretty(text)).then(() => say("Copied."), (error) => say(error.message));
  const copy = navigator.clipboard && el("button", { class: "plain link", onclick: copied }, "Copy");
  return { element: place, tools: [toggle, copy].filter(Boolean), update };
}
