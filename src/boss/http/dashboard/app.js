// The page: which of its two faces is shown, and the news that keep it up to date.

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
// What is known of everything, by the news so far. Maps, for a source may be called toString or __proto__.
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
    return job[1]; // a stray percent sign: it is no id, and Boss says so
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
// What is of no use before.
const SIGNED_IN = ["submit", "search"];

/** Show what whoever is there may see: everything, or a way to sign in. */
async function start() {
  let session;
  try {
    session = await boss.session();
  } catch (error) {
    if (error.status === 401) return askWho();
    // Whatever it is, the stream will tell.
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
    // While the database is away from the start, nothing is known, which is not the same as that there is nothing.
    if (news.away && !state.counts.size) return;
    if (face) face.update();
    else show();
  };
  events.onerror = () => {
    tell("off", "Boss is away; trying again");
    // A browser gives up after an answer that is no stream, such as 503.
    if (events.readyState === EventSource.CLOSED) setTimeout(() => document.hidden || start(), 2000);
    else boss.session().catch((error) => error.status === 401 && askWho());
  };
}

function tell(kind, words) {
  live.className = `live ${kind}`;
  setText(live, words);
}

// A browser has six connections to a server, and a page that nobody looks at must not have one of them.
document.addEventListener("visibilitychange", () => {
  events?.close();
  if (!document.hidden && !isAsking()) start();
});
addEventListener("hashchange", () => {
  if (isAsking()) return; // until then there is nothing to see
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
