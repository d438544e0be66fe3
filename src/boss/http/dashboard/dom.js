// Elements are made in code, so that names and documents of jobs can only become text, never HTML.

/** An element. An attribute that is a function is a listener (`onclick`). One that is null or false is left out. */
export function el(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (value != null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** An element of a drawing. */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Set a text only when it changes, so that a selection in it stays, and screen readers do not read it again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Show these children only when they are others than before, so that the focus and the selection stay. */
export function setChildren(node, children) {
  const same = node.childNodes.length === children.length && children.every((child, place) => child === node.childNodes[place]);
  if (!same) node.replaceChildren(...children);
}

const said = document.getElementById("said");
let silence;

/** Show a sentence for some seconds, also to screen readers. */
export function say(sentence) {
  said.textContent = sentence;
  clearTimeout(silence);
  silence = setTimeout(() => (said.textContent = ""), 6000);
}
