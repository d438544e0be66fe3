// A sparkline of the last hour, with one point a minute.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 100, HEIGHT = 24;

function node(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** A sparkline, with a gap where there is no value. It is hidden from screen readers: the number beside it has the value. */
export function spark(values, kind) {
  const most = Math.max(...values.filter((value) => value != null), 0) || 1;
  const step = WIDTH / (values.length - 1);
  let line = "", area = "", from = null;
  values.forEach((value, place) => {
    if (value == null) {
      if (from !== null) area += `L${((place - 1) * step).toFixed(1)} ${HEIGHT}Z`;
      from = null;
      return;
    }
    const point = `${(place * step).toFixed(1)} ${(HEIGHT - 1 - (value / most) * (HEIGHT - 3)).toFixed(1)}`;
    // A lone value is drawn as a dot: a very short line with round ends.
    line += from === null ? `M${point}h.01L${point}` : `L${point}`;
    area += from === null ? `M${(place * step).toFixed(1)} ${HEIGHT}L${point}` : `L${point}`;
    from = from ?? place;
  });
  if (from !== null) area += `L${WIDTH} ${HEIGHT}Z`;
  return node(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", class: `spark ${kind}`, "aria-hidden": "true" },
    node("path", { class: "area", d: area }),
    node("path", { d: line, "stroke-linecap": "round" }),
  );
}
