// Dialogs, which ask before anything is done.

import * as boss from "./boss.js";
import { el, say } from "./dom.js";

function open(title, form) {
  const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, el("h2", { id: "dialog-title" }, title), form);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** A form that calls `act` when it is sent. An error is shown in the form, which then stays open. */
function form(fields, { act, does, danger = false }) {
  const wrong = el("p", { class: "wrong", role: "alert", hidden: true });
  const send = el("button", { class: danger ? "main danger" : "main", type: "submit" }, does);
  const away = () => element.closest("dialog").close();
  const element = el(
    "form",
    {
      novalidate: true,
      onsubmit: async (event) => {
        event.preventDefault();
        send.disabled = true;
        try {
          await act(Object.fromEntries(new FormData(element)));
          away();
        } catch (error) {
          wrong.textContent = error.message;
          wrong.hidden = false;
        }
        send.disabled = false;
      },
    },
    ...fields,
    wrong,
    el("div", { class: "actions" }, el("button", { type: "button", onclick: away }, "Cancel"), send),
  );
  return element;
}

/** Ask whether to do something, and do it. */
export function confirm(title, text, does, act) {
  const dialog = open(title, form([el("p", {}, text)], { act, does }));
  dialog.querySelector("button[type=button]").focus();
}

export function askToStop(job, after) {
  const hears = job.state === "active" ? " Its converter learns of it at its next heartbeat." : "";
  const fields = [
    el("p", {}, `The job will be done, with the outcome stopped.${hears}`),
    el("label", {}, "Reason, which is kept with the job", el("input", { name: "reason", maxlength: 500, autocomplete: "off" })),
  ];
  const act = async ({ reason }) => {
    await boss.stop(job.source, job.id, reason.trim());
    say(`Stopped ${job.id}.`);
    after();
  };
  open(`Stop ${job.id}?`, form(fields, { act, does: "Stop it", danger: true })).querySelector("input").focus();
}

export function askToGiveBack(job, after) {
  const text = "The job will be available again at once, for another attempt. The converter that has it now loses it.";
  confirm(`Give ${job.id} back?`, text, "Give it back", async () => {
    await boss.giveBack(job.source, job.id);
    say(`${job.id} is available again.`);
    after();
  });
}

/** A done job does not change. Its document is submitted as a new job. */
export function askToSubmitAgain(job, document, after) {
  const text = `A new job of ${job.source} will be submitted with the same document, priority, number of attempts and timeout.`;
  confirm(`Submit ${job.id} again?`, text, "Submit it again", async () => {
    const how = { priority: job.priority, attempts: job.attempts, timeout: job.timeout ?? "" };
    const id = await boss.submit(job.source, "", document, how);
    say(`Submitted as ${id}.`);
    after(id);
  });
}

export function askToSubmit(sources, after) {
  const names = el("datalist", { id: "sources" }, ...sources.map((source) => el("option", { value: source })));
  const fields = [
    el("label", {}, "Source", el("input", { name: "source", list: "sources", maxlength: 100, autocomplete: "off" })),
    names,
    el("label", {}, "Document, a JSON object", el("textarea", { name: "document", spellcheck: "false" }, "{\n  \n}")),
    el("div", { class: "pair" },
      el("label", {}, "Id (generated when empty)", el("input", { name: "id", maxlength: 64, autocomplete: "off" })),
      el("label", {}, "Priority", el("input", { name: "priority", type: "number", min: -1000, max: 1000, placeholder: "0" })),
    ),
    el("div", { class: "pair" },
      el("label", {}, "Delay in seconds", el("input", { name: "delay", type: "number", min: 0, placeholder: "0" })),
      el("label", {}, "Attempts", el("input", { name: "attempts", type: "number", min: 1, placeholder: "25" })),
    ),
    el("div", { class: "pair" },
      el("label", {}, "Timeout of an attempt in seconds", el("input", { name: "timeout", type: "number", min: 1, placeholder: "none" })),
      el("label", {}, "Abandon if not taken after seconds", el("input", { name: "expires", type: "number", min: 1, placeholder: "never" })),
    ),
    el("label", {}, "After these jobs (separated by commas)", el("input", { name: "after", autocomplete: "off" })),
  ];
  const act = async ({ source, id, document, ...how }) => {
    if (!source) throw new Error("Say which source the job is of.");
    try {
      JSON.parse(document);
    } catch (error) {
      throw new Error(`The document is not JSON: ${error.message}`);
    }
    const made = await boss.submit(source, id, document, how);
    say(`Submitted ${made}.`);
    after(made);
  };
  open("Submit a job", form(fields, { act, does: "Submit it" })).querySelector("input").focus();
}
