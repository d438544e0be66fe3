// The feed `/watch`: the state of all jobs, by the events so far.

import { setClock } from "./times.js";

// These are Maps, because a source may be called toString or __proto__.
export const state = {};
export const forget = () => Object.assign(state, { counts: new Map(), failed: [], sources: new Map(), total: null, doctor: null, away: false });
forget();

/** Keep how a source stands; null means that there is no such source any more. */
function keep(source, view) {
  if (view) return void state.sources.set(source, view);
  state.sources.delete(source);
  state.counts.delete(source);
}

// Boss sends something every 15 seconds. A connection may end without anybody being told.
const LONGEST_SILENCE_MS = 40_000;
let events, silence;

/** Listen to the feed: `changed()` after each event, `away()` when the connection is lost; the argument says whether it stays so. */
export function listen({ changed, away }) {
  close();
  events = new EventSource("/watch");
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => (close(), away(true)), LONGEST_SILENCE_MS);
  };
  heard();
  events.addEventListener("alive", heard);
  events.onmessage = ({ data }) => {
    heard();
    const news = JSON.parse(data);
    setClock(news.now);
    for (const [source, counts] of Object.entries(news.counts ?? {})) state.counts.set(source, counts);
    for (const [source, view] of Object.entries(news.sources ?? {})) keep(source, view);
    for (const part of ["failed", "total", "doctor", "away"]) if (part in news) state[part] = news[part];
    changed(news);
  };
  // A browser gives up after a response that is no stream, such as a 503.
  events.onerror = () => away(events.readyState === EventSource.CLOSED);
}

export function close() {
  clearTimeout(silence);
  events?.close();
}
