// Reads one job again and again, and parses only what may have changed.

import * as boss from "./boss.js";
import { members } from "./json.js";

// A document that is longer is parsed once, not each time that its job is read.
const LARGE = 65_536;
// How long it takes from one reading to the next, in milliseconds: a large job costs more to send.
const OFTEN = 2000, SOON = 5000, SELDOM = 10_000;

/** A reader of the job with this id: `read()` returns the job, and its document, result and note as text. */
export function reader(id) {
  let text = "", found = null, document = "";

  /** The text without a large document that it has had before. */
  function short() {
    if (document.length < LARGE) return text;
    const known = `"job":${document}`;
    const place = text.lastIndexOf(known);
    return place < 0 ? text : `${text.slice(0, place)}"job":0${text.slice(place + known.length)}`;
  }

  async function read() {
    const fresh = await boss.find(id);
    if (fresh === text) return found;
    text = fresh;
    const rest = short();
    const raw = members(rest);
    document = raw.job === "0" ? document : raw.job;
    found = { job: { ...JSON.parse(rest), job: null }, raw: { ...raw, job: document } };
    return found;
  }

  /** How long to wait for the next reading; less when the feed says that something has happened in its source. */
  function pause(hurry) {
    const isLarge = text.length > LARGE, isDone = found?.job.state === "done";
    if (hurry) return isLarge ? (isDone ? SELDOM : SOON) : 0;
    return isLarge || isDone ? SELDOM : OFTEN;
  }
  return { read, pause };
}
