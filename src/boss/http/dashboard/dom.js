// Elements made in code: whatever a job is called or says, it can only ever become text.

/** An element. Attributes that are functions are listeners (`onclick`); null and false leave one out. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (value != null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

/** Set a text only when it is another one: an untouched node keeps its selection, and screen readers their peace. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const said = document.getElementById("said");
let silence;

/** Tell what has happened, for some seconds, to eyes and to screen readers. */
export function say(sentence) {
  said.textContent = sentence;
  clearTimeout(silence);
  silence = setTimeout(() => (said.textContent = ""), 6000);
}
