// Rows that are selected by their boxes; with shift, all from the last one on.

import { el } from "./dom.js";

/** A selection; `changed()` is called after each change. */
export function selection(changed) {
  const chosen = new Map();
  const boxes = new Map();
  let last = null;

  const all = el("input", { type: "checkbox", class: "pick-all", "aria-label": "Select all rows shown", onchange: () => set([...boxes.keys()], all.checked) });

  function set(ids, on) {
    for (const id of ids) {
      const box = boxes.get(id);
      box.input.checked = on;
      box.input.closest("tr")?.classList.toggle("chosen", on);
      if (on) chosen.set(id, box.item);
      else chosen.delete(id);
    }
    tell();
  }

  function tell() {
    all.checked = boxes.size > 0 && chosen.size === boxes.size;
    all.indeterminate = chosen.size > 0 && !all.checked;
    changed();
  }

  /** The ids from one box to another, in the order of the rows. */
  function range(from, to) {
    const inOrder = [...boxes].sort(([, one], [, other]) => (one.input.compareDocumentPosition(other.input) & 4 ? -1 : 1)).map(([id]) => id);
    const [first, end] = [inOrder.indexOf(from), inOrder.indexOf(to)].sort((one, other) => one - other);
    return inOrder.slice(first, end + 1);
  }

  /** The box of a row. */
  function box(item) {
    const input = el("input", { type: "checkbox", class: "pick", "aria-label": `Select ${item.id}`, onclick: (event) => {
      const ids = event.shiftKey && last !== null && boxes.has(last) ? range(last, item.id) : [item.id];
      last = item.id;
      set(ids, input.checked);
    } });
    boxes.set(item.id, { input, item });
    return el("td", { class: "pick" }, input);
  }

  /** Bring what is known of the rows up to date, and forget those that are not there any more. */
  function keep(items) {
    const there = new Map(items.map((item) => [item.id, item]));
    for (const [id, known] of boxes) {
      const item = there.get(id);
      if (item) known.item = item;
      else boxes.delete(id);
      if (chosen.has(id)) item ? chosen.set(id, item) : chosen.delete(id);
    }
    tell();
  }
  return { all, box, keep, chosen, clear: () => set([...chosen.keys()], false) };
}
