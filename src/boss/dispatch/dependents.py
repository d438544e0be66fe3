"""Jobs that come after others: submitted blocked, and released or stopped when those end."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import NoReturn

from boss.dispatch.mismatches import listed
from boss.errors import DatabaseAway, UnknownJobs
from boss.model.job import After, Location, Outcome, Submission
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.telemetry import job_counts, job_log
from boss.telemetry.job_log import JobEvent

log = logging.getLogger("boss")

# The most jobs of one statement, so that none holds its locks for long.
_BATCH_ROWS = 1000
# How often some dependencies are checked for ends that were missed, and how many.
_CHECK_INTERVAL_S = 10.0
_CHECKED_ROWS = 1000
# How long jobs are released before other maintenance has its turn.
_LONGEST_PASS_S = 0.2
# How often a submit looks for jobs that are being moved.
_TRIES = 5
# The most ids that a message names.
_MOST_NAMED = 5


async def submit_after(pool: Pool, submissions: Sequence[Submission], after: After) -> set[str]:
    """Store new jobs that come after others; return the ids that were new.

    Raises:
        UnknownJobs: some of the others do not exist; nothing was stored.
    """
    ids = [submission.id for submission in submissions]
    for _ in range(_TRIES):
        stored = await store.submit_after(pool, submissions, after)
        if not stored.missing:
            return stored.new
        locations = await store.locate(pool, [*ids, *stored.missing])
        # A submit that is sent again finds its jobs, even if those that they come after were deleted meanwhile.
        if all(id in locations for id in ids):
            return set()
        # One that was just being redone was in neither table that the statement saw.
        if not any(_is_reached(locations.get(id), after) for id in stored.missing):
            break
    names = listed(stored.missing, _MOST_NAMED)
    raise UnknownJobs(f"no job has the id {names}; after takes the ids of jobs that exist")


def _is_reached(location: Location | None, after: After) -> bool:
    return location is not None and (after.sources is None or location.source in after.sources)


async def release(pool: Pool) -> None:
    """Release the jobs that wait for no other any more, and stop those after one that did not complete."""
    more, until = True, time.monotonic() + _LONGEST_PASS_S
    while more:
        released = await store.release_dependents(pool, _BATCH_ROWS)
        stopped = [JobEvent(each.id, each.source, outcome=Outcome.STOPPED) for each in released if each.stopped]
        job_counts.finished((each.source, Outcome.STOPPED) for each in stopped)
        job_log.record("stopped", stopped)
        job_log.record("released", (JobEvent(each.id, each.source) for each in released if not each.stopped))
        # Jobs whose other dependencies are left, or that are locked, are in no answer. The next round sees to them. It
        # comes at once, but leases and delayed jobs have their turn before.
        more = bool(released) and time.monotonic() < until


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
