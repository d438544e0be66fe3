// A chart: lines over time, with a gap where nothing was counted. A value is read by the mouse, a finger or the arrow keys.

import { el, setText, svg } from "./dom.js";
import { scaleFor } from "./scale.js";
import { clock, clockText, setTime } from "./times.js";

// The drawing is stretched to its place, so its own size does not matter.
const SIZE = 100;
const ALONE = "m-.6 0h1.2";
const HINT = "The arrow keys go from one value to the next.";

/** The path of one line. A lone value is a dash. */
function pathOf(values, top) {
  const step = SIZE / Math.max(values.length - 1, 1);
  let path = "", isDown = false;
  values.forEach((value, place) => {
    if (value == null) return void (isDown = false);
    const point = `${(place * step).toFixed(2)} ${(SIZE - (value / top) * SIZE).toFixed(2)}`;
    const isAlone = !isDown && values[place + 1] == null;
    path += isDown ? `L${point}` : `M${point}${isAlone ? ALONE : ""}`;
    isDown = true;
  });
  return path;
}

/** What a line does, in words, for those who do not see it. */
function told({ name }, values, at, format) {
  const known = values.map((value, place) => [value, place]).filter(([value]) => value != null);
  if (!known.length) return `${name}: no value.`;
  const [most, place] = known.reduce((one, other) => (other[0] > one[0] ? other : one));
  return `${name}: ${format(known.at(-1)[0])} at ${clockText(at[known.at(-1)[1]])}, at most ${format(most)} at ${clockText(at[place])}.`;
}

/** A chart. Each of its `lines` has a `name`, the `key` of its values in a history, and a `kind` for its colour. */
export function chart({ title, lines, scale }) {
  const paths = lines.map(({ kind }) => svg("path", { class: `line ${kind}` }));
  const cursor = svg("path", { class: "cursor", d: "" });
  const drawing = svg("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { class: "grid", d: `M0 0H${SIZE}M0 ${SIZE / 2}H${SIZE}M0 ${SIZE}H${SIZE}` }), ...paths, cursor);
  const values = lines.map(() => el("b", {}, "–"));
  const legend = el("ul", { class: "legend", "aria-hidden": "true" }, lines.map(({ name, kind }, place) =>
    el("li", {}, svg("svg", { viewBox: "0 0 16 4", class: "key" }, svg("path", { class: `line ${kind}`, d: "M0 2H16" })), name, values[place])));
  const when = clock(null), most = el("span", { class: "most" }), none = el("span", { class: "none" }, scaleFor(scale).none);
  const id = `chart-${title.toLowerCase().replace(/\W+/g, "-")}`;
  const summary = el("p", { class: "unseen", id: `${id}-told` });
  const plot = el("div", { class: "plot", role: "slider", tabindex: 0, "aria-labelledby": id, "aria-describedby": `${id}-told`,
    "aria-valuemin": 0, onkeydown: step, onpointermove: point, onpointerdown: point, onpointerleave: rest, onblur: rest,
    onfocus: () => plot.matches(":focus-visible") && read(last()) }, drawing, none);
  const ends = [clock(null), clock(null), clock(null)];
  const element = el("figure", { class: "chart" }, el("figcaption", {}, el("h3", { id }, title), el("span", { class: "when", "aria-hidden": "true" }, when)),
    legend, el("div", { class: "axes" }, most, plot, el("div", { class: "times", "aria-hidden": "true" }, ends)), summary);
  const format = scaleFor(scale).format;
  let known = { at: [] }, place = null;
  const last = () => known.at.length - 1;

  function point(event) {
    const box = plot.getBoundingClientRect();
    read(Math.round(((event.clientX - box.left) / box.width) * last()));
  }

  function step(event) {
    const here = place ?? last();
    const to = { ArrowLeft: here - 1, ArrowDown: here - 1, ArrowRight: here + 1, ArrowUp: here + 1, Home: 0, End: last() }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    read(to);
  }

  function rest() {
    place = null;
    say();
  }

  function read(wanted) {
    if (!known.at.length) return;
    place = Math.max(0, Math.min(last(), wanted));
    say();
  }

  /** Show the values at the cursor, or else the last ones. */
  function say() {
    const here = place ?? last();
    const shown = lines.map(({ key }) => (known[key]?.[here] == null ? "–" : format(known[key][here])));
    shown.forEach((text, line) => setText(values[line], text));
    setTime(when, known.at[here] ?? null);
    const x = ((here * SIZE) / Math.max(last(), 1)).toFixed(2);
    cursor.setAttribute("d", place === null ? "" : `M${x} 0V${SIZE}`);
    plot.setAttribute("aria-valuenow", Math.max(here, 0));
    plot.setAttribute("aria-valuetext", known.at.length
      ? `${clockText(known.at[here])}: ${lines.map(({ name }, line) => `${name} ${shown[line] === "–" ? "not known" : shown[line]}`).join(", ")}` : "nothing yet");
  }

  /** Show a history. */
  function show(history) {
    // Whoever reads a value goes on reading it, though it has moved.
    if (place !== null && known.at.length) place = Math.max(0, history.at.indexOf(known.at[place]));
    known = history;
    const all = lines.map(({ key }) => history[key]);
    const top = scaleFor(scale).top(Math.max(0, ...all.flat().filter((value) => value != null)));
    all.forEach((each, line) => paths[line].setAttribute("d", pathOf(each, top)));
    none.hidden = all.flat().some((value) => value != null);
    setText(most, none.hidden ? format(top) : "");
    [0, Math.floor(last() / 2), last()].forEach((at, end) => setTime(ends[end], history.at[at]));
    plot.setAttribute("aria-valuemax", last());
    setText(summary, `${lines.map((line, each) => told(line, all[each], history.at, format)).join(" ")} ${HINT}`);
    say();
  }
  none.hidden = true;
  plot.setAttribute("aria-valuemax", 0);
  say();
  return { element, show };
}
