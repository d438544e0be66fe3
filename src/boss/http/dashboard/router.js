// Addresses within the page: `#/failed?source=freg`. Back shows the same page again, where it was scrolled to.

import { acts } from "./boss.js";

const main = document.getElementById("main");
// How many pages are kept as they were left.
const KEPT = 8;
const PLACES = "boss.places";

/** The parts of a hash: `#/source/freg?sort=done` has the name `source`, the part `freg` and a query. */
export function parse(hash) {
  const [, path, text = ""] = hash.match(/^([^?]*)(?:\?(.*))?$/s);
  const query = new URLSearchParams(text);
  if (path === "" || path === "#" || path === "#/") return { name: "", part: null, query };
  const found = path.match(/^#\/([a-z]+)(?:\/(.*))?$/s);
  return found ? { name: found[1], part: decoded(found[2]), query } : { name: null, part: null, query };
}

function decoded(part) {
  try {
    return part === undefined ? null : decodeURIComponent(part);
  } catch {
    return part; // a stray percent sign: this is no name, and Boss answers so
  }
}

/** An address, without the parameters that are empty. */
export function href(name, part, query = {}) {
  const given = [...(query instanceof URLSearchParams ? query : Object.entries(query))].filter(([, value]) => value != null && value !== "");
  const text = new URLSearchParams(given).toString();
  return `#/${name}${part == null ? "" : `/${encodeURIComponent(part)}`}${text && `?${text}`}`;
}

export const jobAddress = (id) => href("job", id);
export const sourceAddress = (source) => href("source", source);

export function go(address) {
  location.hash = address;
}

// The entries of the history by key, and the one that is shown.
const entries = new Map();
let shown = null;
const places = new Map(stored());

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(PLACES) ?? "[]");
  } catch {
    return [];
  }
}

/** What tells this entry of the history from others, also after a reload. */
function keyOfEntry() {
  // Browsers without the Navigation API do not say it, so there the entry gets a key of ours.
  const known = window.navigation?.currentEntry?.key ?? history.state?.key;
  if (known) return known;
  const key = `${Date.now()}-${Math.random()}`;
  history.replaceState({ key }, "");
  return key;
}

/** Change the address of the page that is shown, without another entry in the history. */
export function replaceAddress(address) {
  history.replaceState(history.state, "", address);
  if (shown) shown.hash = location.hash;
}

function leave() {
  if (!shown) return;
  shown.focused = main.contains(document.activeElement) ? document.activeElement : null;
  places.set(shown.key, scrollY);
}

/** Show the page at this address: the one that was left there, unless this user has changed something since, or a new one that `make` makes. */
export function show(make) {
  leave();
  const key = keyOfEntry();
  const kept = entries.get(key);
  const before = document.activeElement, isFirst = shown === null;
  entries.delete(key);
  shown = kept?.hash === location.hash && kept.acts === acts ? kept : { key, hash: location.hash, acts, face: make(parse(location.hash)) };
  entries.set(key, shown);
  if (entries.size > KEPT) entries.delete(entries.keys().next().value);
  main.replaceChildren(shown.face.element);
  document.title = shown.face.title ? `${shown.face.title} · Boss` : "Boss";
  place(shown, shown === kept, isFirst ? null : before);
  return shown.face;
}

/** Let the fields of a filter say what the address says, whatever was chosen in them to leave the page, in the zone that is shown. */
export function resetFilter() {
  main.querySelector("form.filters:not([role])")?.reset();
}

function place(entry, isKept, before) {
  if (isKept) {
    resetFilter();
    entry.face.again?.();
  }
  const top = places.get(entry.key) ?? 0;
  scrollTo(0, top);
  if (isKept) return (entry.focused ?? main).focus({ preventScroll: true });
  // A page that was reloaded is as long as before when its rows are there.
  if (top) entry.face.ready?.then(() => shown === entry && scrollY === 0 && scrollTo(0, top));
  // Nobody has asked for the first page just now, so it takes the focus from nobody.
  if (!before) return;
  // Whoever changes a filter goes on in its field.
  const again = before.form?.classList.contains("filters") && entry.face.element.querySelector(`.filters [name="${before.name}"]`);
  (again || main).focus({ preventScroll: true });
}

/** Forget all pages, because somebody else may sign in. */
export function forgetPages() {
  entries.clear();
  shown = null;
}

history.scrollRestoration = "manual";
addEventListener("pagehide", () => {
  leave();
  try {
    sessionStorage.setItem(PLACES, JSON.stringify([...places].slice(-50)));
  } catch {} // the browser keeps nothing for this page
});
