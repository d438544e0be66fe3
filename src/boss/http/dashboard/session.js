// Signing in with a token. From then on it is in a cookie that scripts cannot read.

import * as boss from "./boss.js";
import { el } from "./dom.js";

// All windows of a browser have the same cookie, so whoever signs in or out in one does so in all.
const windows = new BroadcastChannel("boss.session");

/** Call `changed()` when somebody has signed in or out in another window of this browser. */
export const watchOthers = (changed) => windows.addEventListener("message", changed);

/** The sign-in view; `after()` is called once the user has signed in. */
export function signIn(after) {
  const wrong = el("p", { class: "wrong", role: "alert", hidden: true });
  const token = el("input", { id: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
  async function send(event) {
    event.preventDefault();
    try {
      const { role } = await boss.signIn(token.value.trim());
      if (role !== "converter") {
        windows.postMessage("signed in");
        return after();
      }
      await leave();
      throw new Error("This is a converter's token, which may not read jobs. Use one of an admin or a submitter.");
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
      token.select();
    }
  }
  const form = el("form", { class: "sign-in", novalidate: true, onsubmit: send },
    el("p", { class: "note" }, "Use the token of an admin or a submitter; ", el("code", {}, "boss token create"), " creates one."),
    el("label", { for: "token" }, "Token"), token, wrong,
    el("div", { class: "actions" }, el("button", { class: "main", type: "submit" }, "Sign in")));
  const element = el("div", { class: "contents" }, el("section", { "aria-labelledby": "sign-in" }, el("h1", { id: "sign-in" }, "Sign in"), form));
  return { element, update() {}, tick() {}, focus: () => token.focus() };
}

async function leave() {
  await boss.signOut();
  windows.postMessage("signed out");
}

/** The name of the token, with a button to sign out; nothing while no token is needed. */
export function signedIn(session, after) {
  if (session.name === null) return [];
  const out = async () => {
    await leave();
    after();
  };
  return [el("span", { class: "who" }, session.name), el("button", { onclick: out }, "Sign out")];
}
