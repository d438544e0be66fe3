// The dashboard: who has signed in, which page is shown, and the events that keep it up to date.

import * as boss from "./boss.js";
import { askToSubmit } from "./dialogs.js";
import { el, setText } from "./dom.js";
import { close, forget, listen, state } from "./feed.js";
import { listenToKeys, showKeys } from "./keys.js";
import { footer, markCurrent, navigation, pageAt } from "./pages.js";
import { copyNames } from "./parts.js";
import { may, setSession } from "./rights.js";
import { forgetPages, go, jobAddress, parse, resetFilter, show as showPage } from "./router.js";
import { signedIn, signIn, watchOthers } from "./session.js";
import { tick as tickTimes, zoneSwitch } from "./times.js";

const part = (id) => document.getElementById(id);
const main = part("main"), live = part("live"), nav = part("nav"), menu = part("menu");
// The elements that are hidden until the user has signed in.
const SIGNED_IN = ["search", "nav", "menu"];
let face = null;
// Whether Boss was asked who this is, and what it has said, as text. A page offers what its user may do.
let isAsked = false, known = null;

function show() {
  face = showPage(pageAt);
  face.update();
  markCurrent(nav, parse(location.hash));
  openMenu(false);
}

/** Show the page, or the sign-in form when a token is needed. */
async function start() {
  let session = null;
  try {
    session = await boss.session();
  } catch (error) {
    if (error.status === 401) return askWho();
    // The event stream will show any other error.
  }
  isAsked = true;
  if (session && JSON.stringify(session) !== known) {
    if (isWriting(start)) return;
    begin(session);
  }
  for (const id of SIGNED_IN) part(id).hidden = false;
  part("submit").hidden = !may("submit");
  part("session").replaceChildren(...(session ? signedIn(session, askWho) : []));
  nav.replaceChildren(...navigation());
  part("more").replaceChildren(...footer());
  markCurrent(nav, parse(location.hash));
  // The overview waits for the first event: before it, the jobs are unknown.
  if (!face && parse(location.hash).name !== "") show();
  if (!document.hidden) listen({ changed, away });
}

/** Begin anew for this session: what is there was made for another one, or without knowing it. */
function begin(session) {
  forget();
  forgetPages();
  setSession(session);
  [face, known] = [null, session && JSON.stringify(session)];
  main.replaceChildren();
}

/** Whether a dialog is open: what somebody has written in it stays until they close it. Then `after` is called. */
function isWriting(after) {
  const dialog = document.querySelector("dialog[open]");
  dialog?.addEventListener("close", after, { once: true });
  return dialog !== null;
}

const isAsking = () => main.querySelector(".sign-in") !== null;

function askWho() {
  close();
  tell("", "Not signed in");
  if (isWriting(start)) return;
  begin(null);
  for (const id of [...SIGNED_IN, "submit"]) part(id).hidden = true;
  part("session").replaceChildren();
  part("more").replaceChildren();
  document.title = "Boss";
  const asking = signIn(start);
  face = asking;
  main.replaceChildren(asking.element);
  asking.focus();
}

function changed(news) {
  tell(news.away ? "off" : "on", news.away ? "The database is away" : "Live");
  // When the database has been away from the start, the jobs are unknown. That must not look like "no jobs".
  if (news.away && !state.counts.size) return;
  if (face) face.update();
  else show();
}

function away(forGood) {
  tell("off", "Boss is away; trying again");
  if (forGood) setTimeout(() => document.hidden || start(), 2000);
  else boss.session().catch((error) => error.status === 401 && askWho());
}

function tell(kind, words) {
  live.className = `live ${kind}`;
  setText(live, words);
}

function openMenu(opens) {
  nav.classList.toggle("open", opens);
  menu.setAttribute("aria-expanded", String(opens));
}

// A browser has six connections to a server. A hidden page must not occupy one of them.
document.addEventListener("visibilitychange", () => {
  close();
  if (document.hidden || isAsking()) return;
  face?.again?.();
  start();
});
addEventListener("hashchange", () => {
  if (isAsked && !isAsking()) show(); // before it is known who this is there is nothing to show
});
part("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = event.target.elements.id.value.trim();
  if (id) go(jobAddress(id));
  event.target.reset();
});
part("skip").addEventListener("click", (event) => {
  event.preventDefault(); // its address is not that of a page
  main.focus();
});
menu.addEventListener("click", () => openMenu(!nav.classList.contains("open")));
part("submit").addEventListener("click", () =>
  askToSubmit([...state.counts.keys()].filter((source) => may("submit", source)), (id) => go(jobAddress(id))));
part("switches").append(zoneSwitch(resetFilter), el("button", { class: "plain link", onclick: showKeys }, "Keys"));
listenToKeys(() => {
  openMenu(false);
  face?.escape?.();
});
document.addEventListener("copy", copyNames);
setInterval(() => {
  if (document.hidden) return;
  face?.tick();
  tickTimes();
}, 1000);
watchOthers(start);
tell("", "Connecting");
start();
