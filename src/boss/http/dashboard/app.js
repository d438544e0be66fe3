// The dashboard: which view it shows, and the events that keep it up to date.

import * as boss from "./boss.js";
import { askToSubmit } from "./dialogs.js";
import { el, setText } from "./dom.js";
import { jobPage } from "./job.js";
import { activeJobs, failedJobs } from "./lists.js";
import { signedIn, signIn } from "./session.js";
import { toldPage } from "./told.js";
import { tree } from "./tree.js";
import { setClock } from "./words.js";

const main = document.getElementById("main");
const live = document.getElementById("live");
// The state of all jobs, by the events so far. These are Maps, because a source may be called toString or __proto__.
const state = {};
const forget = () => Object.assign(state, { counts: new Map(), active: [], failed: [], hour: new Map() });
forget();
let face = null;

function overview() {
  const parts = [tree(), activeJobs(), failedJobs()];
  const nothing = el("section", {}, el("h1", {}, "No job has been submitted yet"),
    el("p", { class: "empty" }, "Submit the first one with the button above, or from a shell:", el("br"),
      el("pre", {}, `curl -d '{"topic": "data"}' ${location.origin}/job/available/freg`)));
  const element = el("div", { class: "contents" });
  function update() {
    const some = state.counts.size > 0;
    const wanted = some ? parts.map((part) => part.element) : [nothing];
    if (wanted[0] !== element.firstChild) element.replaceChildren(...wanted);
    for (const part of parts) part.update(state);
  }
  update();
  return { element, update, tick: () => parts.forEach((part) => part.tick?.()) };
}

/** The id in the address of a job's page; null in another address. */
function idIn(hash) {
  const job = hash.match(/^#\/job\/(.+)$/);
  try {
    return job && decodeURIComponent(job[1]);
  } catch {
    return job[1]; // a stray percent sign: this is no id, and Boss answers so
  }
}

function show() {
  const id = idIn(location.hash);
  const told = toldPage(location.hash);
  const title = id || told?.title;
  document.title = title ? `${title} · Boss` : "Boss";
  face = told ?? (id ? jobPage(id) : overview());
  main.replaceChildren(face.element);
}

let events;
// The elements that are hidden until the user has signed in.
const SIGNED_IN = ["submit", "search"];

/** Show the jobs, or the sign-in form when a token is needed. */
async function start() {
  let session;
  try {
    session = await boss.session();
  } catch (error) {
    if (error.status === 401) return askWho();
    // The event stream will show any other error.
  }
  for (const id of SIGNED_IN) document.getElementById(id).hidden = false;
  document.getElementById("session").replaceChildren(...(session ? signedIn(session, askWho) : []));
  if (!face && location.hash.length > 2) show();
  listen();
}

const isAsking = () => main.querySelector(".sign-in") !== null;

function askWho() {
  events?.close();
  forget();
  for (const id of SIGNED_IN) document.getElementById(id).hidden = true;
  document.getElementById("session").replaceChildren();
  tell("", "Not signed in");
  document.title = "Boss";
  const asking = signIn(() => {
    face = null;
    start();
  });
  face = asking;
  main.replaceChildren(asking.element);
  asking.focus();
}

function listen() {
  events = new EventSource("/watch");
  events.onmessage = ({ data }) => {
    const news = JSON.parse(data);
    setClock(news.now);
    for (const [source, counts] of Object.entries(news.counts ?? {})) state.counts.set(source, counts);
    if (news.hour) state.hour = new Map(Object.entries(news.hour));
    for (const part of ["active", "failed"]) if (news[part]) state[part] = news[part];
    tell(news.away ? "off" : "on", news.away ? "The database is away" : "Live");
    // When the database has been away from the start, the jobs are unknown. That must not look like "no jobs".
    if (news.away && !state.counts.size) return;
    if (face) face.update();
    else show();
  };
  events.onerror = () => {
    tell("off", "Boss is away; trying again");
    // A browser gives up after a response that is no stream, such as a 503.
    if (events.readyState === EventSource.CLOSED) setTimeout(() => document.hidden || start(), 2000);
    else boss.session().catch((error) => error.status === 401 && askWho());
  };
}

function tell(kind, words) {
  live.className = `live ${kind}`;
  setText(live, words);
}

// A browser has six connections to a server. A hidden page must not occupy one of them.
document.addEventListener("visibilitychange", () => {
  events?.close();
  if (!document.hidden && !isAsking()) start();
});
addEventListener("hashchange", () => {
  if (isAsking()) return; // before signing in there is nothing to show
  show();
  main.focus();
});
document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = event.target.elements.id.value.trim();
  if (id) location.hash = `#/job/${encodeURIComponent(id)}`;
  event.target.reset();
});
document.getElementById("submit").addEventListener("click", () =>
  askToSubmit([...state.counts.keys()], (id) => (location.hash = `#/job/${encodeURIComponent(id)}`)));
addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.target.closest("input, textarea, dialog")) {
    event.preventDefault();
    document.getElementById("id").focus();
  }
});
setInterval(() => face?.tick(), 1000);
tell("", "Connecting");
start();
