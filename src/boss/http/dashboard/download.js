// Saves the jobs that match a filter as a file of lines (NDJSON).

import * as boss from "./boss.js";
import { open } from "./dialog.js";
import { el, say, setText } from "./dom.js";
import { queriesOf } from "./finding.js";
import { complaint } from "./parts.js";
import { many, size } from "./words.js";

const AT_ONCE = 1000;
// A browser keeps the file in its memory until it is saved. It asks before it keeps more than this, and each time that it is doubled.
const MUCH = 64e6;

function save(parts) {
  const address = URL.createObjectURL(new Blob(parts, { type: "application/x-ndjson" }));
  el("a", { href: address, download: `jobs-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.ndjson` }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** The pages of lines, one after the other; each with its number of lines. */
async function* pages(filter, signal) {
  for (const query of queriesOf(filter)) {
    let address = `/jobs?${new URLSearchParams({ ...query, limit: AT_ONCE })}`;
    while (address) {
      const answer = await boss.send("GET", address, { headers: { accept: "application/x-ndjson" }, signal });
      const part = await answer.blob();
      // A line break ends each line, and JSON has none within.
      const lines = new Uint8Array(await part.arrayBuffer()).reduce((sum, byte) => sum + (byte === 10), 0);
      yield { part, lines };
      address = answer.headers.get("link")?.match(/<([^>]+)>; rel="next"/)?.[1];
    }
  }
}

/** Say what is downloaded, and download it. */
export function askToDownload(filter) {
  const stopped = new AbortController();
  const parts = [];
  let lines = 0, bytes = 0, bound = MUCH, goOn = null;
  const text = el("p", { role: "status" }, "All jobs that match are saved in one file, one job a line, with their documents and results.");
  const wrong = complaint();
  const begin = el("button", { class: "main", onclick: () => (goOn ? goOn() : run()) }, "Download");
  const keep = el("button", { hidden: true, onclick: finish }, "Save what is there");
  const cancel = el("button", { onclick: () => dialog.close() }, "Cancel");
  const dialog = open("Download jobs", text, wrong.element, el("div", { class: "actions" }, cancel, keep, begin));
  dialog.addEventListener("close", () => stopped.abort());
  begin.focus();

  function finish() {
    save(parts);
    say(`Saved ${many(lines, "job")}.`);
    dialog.close();
  }

  const pause = () => new Promise((resolve) => {
    setText(text, `${many(lines, "job")} so far, ${size(bytes)}, which are in the memory of this browser. ` +
      "A shell has room for more: boss jobs --json, or GET /jobs with Accept: application/x-ndjson.");
    setText(begin, "Go on");
    begin.hidden = keep.hidden = false;
    goOn = () => {
      begin.hidden = keep.hidden = true;
      bound *= 2;
      resolve();
    };
  });

  async function run() {
    begin.hidden = true;
    try {
      for await (const page of pages(filter, stopped.signal)) {
        parts.push(page.part);
        lines += page.lines;
        bytes += page.part.size;
        setText(text, `${many(lines, "job")} so far, ${size(bytes)} …`);
        if (bytes > bound) await pause();
      }
      finish();
    } catch (error) {
      if (!stopped.signal.aborted) wrong.tell(error);
      keep.hidden = !lines;
    }
  }
}
