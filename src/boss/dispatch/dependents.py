"""Jobs that come after others: submitted blocked, and released or stopped when those end."""

import asyncio
import logging
from collections.abc import Sequence
from typing import NoReturn

from boss.errors import DatabaseAway, UnknownJobs
from boss.model.job import After, Outcome, Submission
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.telemetry import job_log, metrics
from boss.telemetry.job_log import JobEvent

log = logging.getLogger("boss")

# The most jobs of one statement, so that none holds its locks for long.
_BATCH_ROWS = 1000
# How often some dependencies are checked for ends that were missed, and how many.
_CHECK_INTERVAL_S = 10.0
_CHECKED_ROWS = 1000
# The most ids that a message names.
_MOST_NAMED = 5


async def submit_after(pool: Pool, submissions: Sequence[Submission], after: After) -> set[str]:
    """Store new jobs that come after others; return the ids that were new.

    Raises:
        UnknownJobs: some of the others do not exist; nothing was stored.
    """
    stored = await store.submit_after(pool, submissions, after)
    if stored.missing:
        more = len(stored.missing) - _MOST_NAMED
        names = ", ".join(stored.missing[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        raise UnknownJobs(f"after names jobs that there are not: {names}; submit those first")
    return stored.new


async def release(pool: Pool) -> None:
    """Release the jobs that wait for no other any more, and stop those after one that did not complete."""
    more = True
    while more:
        released = await store.release_dependents(pool, _BATCH_ROWS)
        stopped = [JobEvent(each.id, each.source, outcome=Outcome.STOPPED) for each in released if each.stopped]
        metrics.FINISHED.labels(Outcome.STOPPED).inc(len(stopped))
        job_log.record("stopped", stopped)
        job_log.record("released", (JobEvent(each.id, each.source) for each in released if not each.stopped))
        # Jobs whose other dependencies are left, or that are locked, are in no answer. The next round sees to them.
        more = bool(released)


async def check_forever(pool: Pool) -> NoReturn:
    """Until cancelled, look for ends that were not recorded: a few dependencies at a time."""
    after = ""
    while True:
        try:
            after = await store.record_missed_ends(pool, after, _CHECKED_ROWS) or ""
        except DatabaseAway:
            pass  # nothing can be released either
        except Exception:
            log.exception("looking for missed ends of jobs failed; trying again")
        await asyncio.sleep(_CHECK_INTERVAL_S)
