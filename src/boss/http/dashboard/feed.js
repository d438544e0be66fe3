// The feed `/watch`: the state of all jobs, by the events so far.

import { setClock } from "./times.js";

// These are Maps, because a source may be called toString or __proto__.
export const state = {};
export const forget = () => Object.assign(state, { counts: new Map(), active: [], failed: [], hour: new Map() });
forget();

let events;

/** Listen to the feed: `changed()` after each event, `away()` when the connection is lost; the argument says whether it stays so. */
export function listen({ changed, away }) {
  close();
  events = new EventSource("/watch");
  events.onmessage = ({ data }) => {
    const news = JSON.parse(data);
    setClock(news.now);
    for (const [source, counts] of Object.entries(news.counts ?? {})) state.counts.set(source, counts);
    if (news.hour) state.hour = new Map(Object.entries(news.hour));
    for (const part of ["active", "failed"]) if (news[part]) state[part] = news[part];
    changed(news);
  };
  // A browser gives up after a response that is no stream, such as a 503.
  events.onerror = () => away(events.readyState === EventSource.CLOSED);
}

export const close = () => events?.close();
