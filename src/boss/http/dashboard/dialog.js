// Dialogs, which ask before anything is done.

import { el } from "./dom.js";
import { complaint } from "./parts.js";

export const SIGNED_OUT = "You are not signed in any more. Sign in in another window of this browser, then come back and send this again.";

/** The error of a request of a dialog, with what to do when the token is not valid any more. */
export const explained = (error) => (error.status === 401 ? { message: SIGNED_OUT } : error);

/** Open a dialog with a title. */
export function open(title, ...content) {
  const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, el("h2", { id: "dialog-title" }, title), ...content);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** A form that calls `act` when it is sent. An error is shown in the form, which then stays open. */
export function form(fields, { act, does, danger = false }) {
  const wrong = complaint();
  const send = el("button", { class: danger ? "main danger" : "main", type: "submit" }, does);
  const away = () => element.closest("dialog").close();
  async function submitted(event) {
    event.preventDefault();
    send.disabled = true;
    wrong.tell(null);
    try {
      await act(Object.fromEntries(new FormData(element)));
      away();
    } catch (error) {
      wrong.tell(explained(error));
    }
    send.disabled = false;
  }
  const element = el("form", { novalidate: true, onsubmit: submitted }, ...fields, wrong.element,
    el("div", { class: "actions" }, el("button", { type: "button", onclick: away }, "Cancel"), send));
  return element;
}

export const field = (text, input) => el("label", {}, text, input);
export const line = (name, attributes = {}) => el("input", { name, autocomplete: "off", ...attributes });
export const pair = (...fields) => el("div", { class: "pair" }, ...fields);

/** A field for JSON. */
export function jsonField(text, name, value) {
  const area = el("textarea", { name, spellcheck: "false" });
  area.value = value;
  return field(text, area);
}

/** Throw an error in plain words unless this text is JSON. */
export function checkJson(what, text) {
  try {
    JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} is not JSON: ${error.message}`);
  }
}

/** Ask whether to do something, and do it. */
export function confirm(title, text, does, act, danger = false) {
  const dialog = open(title, form([el("p", {}, text)], { act, does, danger }));
  dialog.querySelector("button[type=button]").focus();
}
