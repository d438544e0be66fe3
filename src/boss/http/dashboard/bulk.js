// Redo, stop and delete: the jobs that are selected, or all that match a filter, with their number before and after.

import * as boss from "./boss.js";
import { confirmMany } from "./bulk_dialog.js";
import { SIGNED_OUT } from "./dialog.js";
import { queriesOf } from "./finding.js";
import { may } from "./rights.js";

const AT_ONCE = 4;

export const ACTS = {
  redo: {
    name: "Redo", does: "Redo them", doing: "Redoing", did: "Redone", from: "done", one: boss.redo,
    text: "They are available again under their own ids, at the end of the queue, and keep their history.",
    method: "POST", address: (source) => `${boss.path("job", "available", source)}?from=done`, moved: "moved", would: "would_move",
  },
  stop: {
    name: "Stop", does: "Stop them", doing: "Stopping", did: "Stopped", from: "open", one: (job, reason) => boss.stop(job, reason), danger: true, asksWhy: true,
    text: "They are done, with the outcome stopped.", ofActive: " The converters of active ones learn of it at their next heartbeat.",
    method: "POST", address: (source, state) => `${boss.path("job", "done", source)}?from=${state}`, moved: "moved", would: "would_move",
  },
  delete: {
    name: "Delete", does: "Delete them", doing: "Deleting", did: "Deleted", from: "done", one: boss.remove, danger: true,
    text: "They are deleted with their documents, results and histories. Nothing brings them back.",
    method: "DELETE", address: (source) => `${boss.path("job", "done", source)}?`, moved: "deleted", would: "would_delete",
  },
};

/** Whether an act is for jobs in this state. */
export const isFor = (act, state) => (act.from === "done") === (state === "done");

/** Act on selected jobs, some at once. */
export function actOnSelected(act, jobs, after) {
  const fitting = jobs.filter((job) => isFor(act, job.state) && may("administer", job.source));
  const left = jobs.length - fitting.length;
  async function run({ reason, progress, cancelled }) {
    const waiting = [...fitting], wrong = [];
    let done = 0;
    const work = async () => {
      for (let job = waiting.shift(); job && !cancelled(); job = waiting.shift()) {
        await act.one(job, reason).then(() => done++, (error) => {
          if (error.status === 401) waiting.length = 0;
          wrong.push(error.status === 401 ? SIGNED_OUT : `${job.id}: ${error.message}`);
        });
        progress(done);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return { done, wrong: [...new Set(wrong)] };
  }
  const counting = async () => ({ jobs: fitting.length, isAll: true, left, isActive: fitting.some(({ state }) => state === "active") });
  confirmMany(act, { counting, run, after });
}

/** The query of a request about all that match in one source, and the state that they are in. */
function asQuery({ state, source: _source, ...query }) {
  return [state, Object.entries(query).map((pair) => pair.map(encodeURIComponent).join("=")).join("&")];
}

/** Act on all that match a filter, source by source: Boss takes one source at a time. `findSources()` says which. */
export function actOnMatching(act, filter, findSources, after) {
  let plan = [];
  const requests = (source) => queriesOf(filter).map((query) => {
    const [state, text] = asQuery(query);
    return { source, address: `${act.address(source, state)}&${text}`.replace(/[?&]+$/, "").replace("?&", "?") };
  });

  /** Count what one request is about. What Boss refuses for one source it may allow for the others. */
  async function countOne(request, found) {
    try {
      const answer = await boss.json(act.method, joined(request.address, "dry_run=1"));
      found.jobs += answer[act.would];
      found.isAll &&= !answer.more;
      // Jobs that come later are left alone: they were not counted.
      if (answer[act.would] || answer.more) plan.push({ ...request, until: answer.until });
    } catch (error) {
      if (!error.status || error.status === 401) throw error;
      found.wrong.push(`${request.source}: ${error.message}`);
    }
  }

  async function counting({ progress, cancelled }) {
    const asked = (await findSources()).flatMap(requests), waiting = [...asked];
    const found = { jobs: 0, isAll: true, wrong: [] };
    let counted = 0;
    plan = [];
    const work = async () => {
      for (let each = waiting.shift(); each && !cancelled(); each = waiting.shift()) {
        await countOne(each, found).catch((error) => {
          waiting.length = 0;
          throw error;
        });
        progress(found.jobs, `${++counted} of ${asked.length}`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return { ...found, isActive: filter.given.state === "active", sources: new Set(plan.map(({ source }) => source)).size };
  }

  async function run({ reason, progress, cancelled }) {
    let done = 0;
    const wrong = [];
    for (const { source, address, until } of plan) {
      const bounded = address.includes("until=") ? address : joined(address, `until=${encodeURIComponent(until)}`);
      try {
        for (let next = bounded; next && !cancelled(); ) {
          const answer = await boss.json(act.method, next, act.asksWhy && reason ? JSON.stringify({ reason }) : undefined);
          done += answer[act.moved];
          progress(done);
          next = answer.more ? answer.next : null;
        }
      } catch (error) {
        // Without a token it is refused for all of them.
        if (error.status === 401) return { done, wrong: [...wrong, SIGNED_OUT] };
        wrong.push(`${source}: ${error.message}`);
      }
    }
    return { done, wrong };
  }
  confirmMany(act, { counting, run, after });
}

const joined = (address, more) => `${address}${address.includes("?") ? "&" : "?"}${more}`;
