// Signing in with a token, which from then on is in a cookie that no script can read.

import * as boss from "./boss.js";
import { el } from "./dom.js";

/** The face of a Boss that wants to know who is there; `after()` is called once it does. */
export function signIn(after) {
  const wrong = el("p", { class: "wrong", role: "alert", hidden: true });
  const token = el("input", { id: "token", type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
  async function send(event) {
    event.preventDefault();
    try {
      const { role } = await boss.signIn(token.value.trim());
      if (role !== "converter") return after();
      await boss.signOut();
      throw new Error("The token of a converter shows nothing here.");
    } catch (error) {
      wrong.textContent = error.message;
      wrong.hidden = false;
      token.select();
    }
  }
  const form = el("form", { class: "sign-in", novalidate: true, onsubmit: send },
    el("p", { class: "note" }, "With a token of an admin or a submitter; ", el("code", {}, "boss token create"), " makes them."),
    el("label", { for: "token" }, "Token"), token, wrong,
    el("div", { class: "actions" }, el("button", { class: "main", type: "submit" }, "Sign in")));
  const element = el("div", { class: "contents" }, el("section", { "aria-labelledby": "sign-in" }, el("h1", { id: "sign-in" }, "Sign in"), form));
  return { element, update() {}, tick() {}, focus: () => token.focus() };
}

/** Who is signed in, with a button to leave; nothing while nobody needs a token. */
export function signedIn(session, after) {
  if (session.name === null) return [];
  const leave = async () => {
    await boss.signOut();
    after();
  };
  return [el("span", { class: "who" }, session.name), el("button", { onclick: leave }, "Sign out")];
}
