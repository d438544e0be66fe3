// The converters that name themselves.

import * as boss from "./boss.js";
import { el, setChildren, setText } from "./dom.js";
import { complaint, empty, name, page, sourceLink } from "./parts.js";
import { table } from "./table.js";
import { ago, setTime } from "./times.js";
import { count, many } from "./words.js";

const AGAIN = 5000;

function row(item) {
  const holds = el("td", { class: "number", "data-name": "holds" }), taken = el("td", { class: "number", "data-name": "taken" });
  const heard = ago(null), sources = el("td", { class: "sources" });
  let shown = "";
  function update(now) {
    setText(holds, count(now.holds));
    setText(taken, count(now.taken));
    setTime(heard, now.heard);
    const text = String(now.sources);
    if (text !== shown) setChildren(sources, now.sources ? now.sources.map((source) => sourceLink(source)) : [el("span", { class: "note" }, "any source")]);
    shown = text;
  }
  const line = el("tr", {}, el("td", { class: "job" }, name(item.name, "span", { class: "id" })), sources, holds, taken, el("td", { class: "time", "data-name": "heard" }, heard));
  return { line, update };
}

export function convertersPage() {
  const shown = table({ label: "Converters", columns: ["Converter", "Takes from", ["Holds", "number"], ["Has taken", "number"], "Heard"], key: (item) => item.name, make: row });
  const none = empty("No converter that names itself was heard of in the last hour. A take says its name by ", el("code", {}, "Boss-Converter: host-3/17"), "; ",
    el("code", {}, "boss work"), " and Boss's clients do so by themselves.", el("pre", {}, "boss work freg -- ./convert.sh"));
  none.hidden = true;
  const how = el("p", { class: "note", role: "status" }, "Looking …");
  const wrong = complaint();
  const element = page("Converters", [], wrong.element, how, el("section", { "aria-label": "Converters" }, shown.element, none));
  let last = 0, reading = false;
  async function read() {
    if (reading) return;
    reading = true;
    try {
      const found = await boss.converters();
      shown.show(found);
      none.hidden = found.length > 0;
      setText(how, `${many(found.length, "converter")}, ${many(found.reduce((sum, { holds }) => sum + holds, 0), "active job")}`);
      wrong.tell(null);
    } catch (error) {
      if (!error.away) wrong.tell(error);
    }
    [reading, last] = [false, Date.now()];
  }
  return { title: "Converters", element, update() {}, tick: () => Date.now() - last > AGAIN && read(), ready: read() };
}
