// A table of which a row is made once, and kept as long as its item is in the list.

import { el, setChildren } from "./dom.js";

/**
 * A table.
 *
 * `columns` are names, or elements, or pairs of one and a class; `make(item)` returns the row's `line` and what brings it
 * up to date, `update(item)`.
 */
export function table({ label, columns, make, key }) {
  const rows = new Map();
  const body = el("tbody");
  const head = columns.map((column) => {
    const [name, kind] = Array.isArray(column) ? column : [column];
    return el(name === "" ? "td" : "th", name === "" ? {} : { scope: "col", class: kind }, name);
  });
  const element = el("div", { class: "scroll" },
    el("table", { class: "list", "aria-label": label }, el("thead", {}, el("tr", {}, ...head)), body));

  function show(items) {
    const fresh = new Map(items.map((item) => [key(item), item]));
    for (const known of rows.keys()) if (!fresh.has(known)) rows.delete(known);
    for (const [each, item] of fresh) {
      if (!rows.has(each)) rows.set(each, make(item));
      rows.get(each).update?.(item);
    }
    setChildren(body, [...fresh.keys()].map((each) => rows.get(each).line));
    element.hidden = !items.length;
  }
  return { element, body, rows, show };
}

const arrowOf = (sort, mostFirst) => (sort.startsWith("-") === mostFirst ? " ↑" : " ↓");

/**
 * What sorts on a phone, where a table has no headings.
 *
 * `columns` are texts, names, and whether the greatest value comes first; `sort(name)` is called with a name that is
 * chosen, `show(name)` shows by which the table is sorted.
 */
export function sortChoice(columns, sort) {
  const options = columns.flatMap(([text, name, mostFirst]) =>
    [name, `-${name}`].map((each) => el("option", { value: each }, text + arrowOf(each, mostFirst))));
  const choice = el("select", { name: "sort", onchange: () => sort(choice.value) }, options);
  return { element: el("label", { class: "sort-by" }, "Sort by ", choice), show: (name) => (choice.value = name) };
}

/**
 * A heading that sorts.
 *
 * `chosen` is the name of the column that sorts now, with a minus before it for the other way round. With `mostFirst` the
 * greatest value comes first.
 */
export function sorter(text, name, chosen, sort, mostFirst = false) {
  const by = chosen.replace("-", "") === name;
  const next = chosen === name ? `-${name}` : name;
  const arrow = by ? arrowOf(chosen, mostFirst) : "";
  return el("button", { class: "plain sorter", "aria-label": `Sort by ${text.toLowerCase()}`, onclick: () => sort(next) }, text + arrow);
}
