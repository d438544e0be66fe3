// Times: how long ago by the server's clock, and the moment in local time or in UTC. One switch changes all of them.

import { el, setText } from "./dom.js";
import { duration } from "./words.js";

const KEPT = "boss.zone";
const forms = new Map([["", undefined], ["UTC", "UTC"]].map(([name, timeZone]) =>
  [name, new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium", timeZone })]));
const clocks = new Map([["", undefined], ["UTC", "UTC"]].map(([name, timeZone]) =>
  [name, new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone })]));
// The server's clock minus ours, in milliseconds; null while it is not known.
let ahead = null;
let zone = kept();

function kept() {
  try {
    return localStorage.getItem(KEPT) === "UTC" ? "UTC" : "";
  } catch {
    return ""; // the browser keeps nothing for this page
  }
}

/** Use the server's clock from now on. */
export function setClock(now) {
  ahead = Date.parse(now) - Date.now();
}

/** Use the `Date` of a response until the feed says the time: it has whole seconds. */
export function startClock(date) {
  if (ahead === null && date) setClock(date);
}

/** The time now, by the server's clock. */
export const now = () => Date.now() + (ahead ?? 0);

/** Seconds since an instant, by the server's clock; negative when it is in the future. */
export const since = (time) => (now() - Date.parse(time)) / 1000;

export const zoneName = () => zone || "local time";
const inZone = (time, wanted) => forms.get(wanted).format(Date.parse(time)) + (wanted ? " UTC" : "");
const both = (time) => `${inZone(time, "")} local time\n${inZone(time, "UTC")}`;
/** The time of day as text: `14:05`. */
export const clockText = (time) => clocks.get(zone).format(Date.parse(time));
const agoText = (seconds) => (seconds < 0 ? `in ${duration(-seconds)}` : `${duration(seconds)} ago`);

/** A moment, in the zone that the switch says; the other one is in its hover. */
export const moment = (time) => setTime(el("time", { "data-at": "" }), time);

/** How long ago a moment was. It goes on by itself; the moment is in its hover. */
export const ago = (time) => setTime(el("time", { "data-ago": "" }), time);

/** How long something has gone on since a moment. It goes on by itself, as `ago` does. */
export const age = (time) => setTime(el("time", { "data-age": "" }), time);

/** The time of day of a moment, without seconds, in the zone that the switch says. */
export const clock = (time) => setTime(el("time", { "data-clock": "" }), time);

/** A text in which each moment is in the zone that the switch says. */
export const withMoments = (text) => text.split(/(\d{4}-\d\d-\d\dT[\d:.]+Z)/).map((part, place) => (place % 2 ? moment(part) : part));

/** Give a time element another time, or none. */
export function setTime(element, time) {
  const same = (element.getAttribute("datetime") ?? null) === (time ?? null);
  if (!same && time) element.setAttribute("datetime", time);
  if (!same && !time) element.removeAttribute("datetime");
  if (!same) element.title = time ? both(time) : "";
  show(element);
  return element;
}

function show(element) {
  const time = element.getAttribute("datetime");
  if (!time) return setText(element, "");
  if ("ago" in element.dataset) setText(element, agoText(since(time)));
  else if ("age" in element.dataset) setText(element, duration(since(time)));
  else setText(element, "clock" in element.dataset ? clockText(time) : inZone(time, zone));
}

/** Bring all ages on the page up to date. */
export function tick() {
  for (const element of document.querySelectorAll("main time:is([data-ago], [data-age])")) show(element);
}

/** A button that switches all times between local time and UTC, and calls `switched()`. */
export function zoneSwitch(switched) {
  const button = el("button", { class: "plain link", onclick: () => change() });
  const tell = () => setText(button, zone ? "Show local time" : "Show UTC");
  function change() {
    zone = zone ? "" : "UTC";
    try {
      localStorage.setItem(KEPT, zone);
    } catch {} // it lasts as long as the page
    for (const element of document.querySelectorAll("main time:is([data-at], [data-clock])")) show(element);
    tell();
    switched();
  }
  tell();
  return button;
}

/** A moment as the value of a field for times, in the zone of the switch; empty when it is none. */
export function toField(time) {
  if (!time || Number.isNaN(Date.parse(time))) return "";
  const at = new Date(time);
  return (zone ? at : new Date(at - at.getTimezoneOffset() * 60_000)).toISOString().slice(0, 19);
}

/** The moment in a field for times, as RFC 3339 has it; null when it is empty. */
export function fromField(value) {
  if (!value) return null;
  const at = new Date(zone ? `${value}Z` : value);
  return Number.isNaN(at.getTime()) ? null : at.toISOString().replace(".000", "");
}
