"""Redo, stop and delete: one done job, or all jobs that a filter finds, in batches that can be sent again."""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from boss.dispatch.dispatcher import Dispatcher
from boss.dispatch.finding import find
from boss.dispatch.mismatches import not_moved
from boss.dispatch.queries import Queries
from boss.model.finding import FoundJob, JobFilter, Place
from boss.model.job import Finish, Job, Outcome, Redo, State
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.postgres.statement import MOST_ROWS
from boss.telemetry import job_log, metrics
from boss.telemetry.job_log import JobEvent

# The most jobs that one request moves, so that it answers in time.
_MOST_MOVED = 10_000
# The most jobs that are counted before somebody is asked whether to move them.
_MOST_COUNTED = 100_000
# How long one request starts new statements; the last one may run past this.
_LONGEST_S = 5.0

_Apply = Callable[[Pool, store.Batch], Awaitable[store.Moved]]


class Wanted(NamedTuple):
    """The jobs of one source that a request is about.

    Attributes:
        source: the source.
        filter: which of its jobs.
        until: the end of their time, which the filter has too: what comes later is left alone, also by later batches.
        by: the name of the principal's token.
    """

    source: str
    filter: JobFilter
    until: datetime
    by: str | None


class Progress(NamedTuple):
    """How many jobs a request moved, or counted, and where the next one goes on; None when none are left."""

    jobs: int
    next: Place | None


class Moving:
    """Moves done jobs back, stops many, and deletes.

    Args:
        pool: the connection pool.
        dispatcher: finishes jobs.
        queries: finds out where a job is.
    """

    def __init__(self, pool: Pool, dispatcher: Dispatcher, queries: Queries) -> None:
        self._pool = pool
        self._dispatcher = dispatcher
        self._queries = queries

    async def now(self) -> datetime:
        """The database's time, at which a request begins that names no end."""
        return await store.database_time(self._pool)

    async def redo(self, asked: Redo) -> Job:
        """Make a done job available again; return it as it is now.

        Raises:
            NotThere: it is not done.
            WrongAttempt: it is in another attempt than the one given.
            BadInput: jsonb cannot store the document.
            TooMany: its source has as many available jobs as it may have.
        """
        self._dispatcher.check_room(asked.source)
        document = {"document": "another"} if asked.document is not None else {}
        what = json.dumps({"job": asked.id, "source": asked.source, **document})
        # A job that maintenance was just moving into a volume is missed once.
        job = await store.redo(self._pool, asked, what) or await store.redo(self._pool, asked, what)
        if job is None:
            location = await self._queries.locate(asked.id)
            raise not_moved(State.DONE, asked.source, asked.id, asked.attempt, location)
        _note_redone(asked.source, [(job.id, job.attempt)], asked.by)
        return job

    async def delete(self, source: str, id: str, attempt: int | None, by: str | None) -> None:
        """Delete a done job.

        Raises:
            NotThere: it is not done.
            WrongAttempt: it is in another attempt than the one given.
        """
        what = json.dumps({"job": id, "source": source})
        batch = store.Batch(source, [id], None, by, what, attempt=attempt)
        if not (await self._apply_batch(store.delete, batch)).jobs:
            location = await self._queries.locate(id)
            raise not_moved(State.DONE, source, id, attempt, location)
        metrics.PRUNED.inc()

    async def redo_many(self, wanted: Wanted, after: Place | None) -> Progress:
        """Make done jobs available again, at most 10,000.

        Raises:
            TooMany: the source has as many available jobs as it may have.
        """
        self._dispatcher.check_room(wanted.source)

        def note(jobs: Sequence[tuple[str, int]]) -> None:
            _note_redone(wanted.source, jobs, wanted.by)

        return await self._apply(store.redo_many, wanted, after, note)

    async def delete_many(self, wanted: Wanted, after: Place | None) -> Progress:
        """Delete done jobs, at most 10,000. The words that they were found by are not recorded."""
        return await self._apply(store.delete, wanted, after, lambda jobs: metrics.PRUNED.inc(len(jobs)))

    async def _apply(
        self, apply: _Apply, wanted: Wanted, after: Place | None, note: Callable[[Sequence[tuple[str, int]]], None]
    ) -> Progress:
        batch = store.Batch(wanted.source, (), wanted.until, wanted.by, details(wanted, apply is store.redo_many))
        jobs, place = 0, after
        async for found, place in self._found(wanted, after, _MOST_MOVED):  # noqa: B007
            moved = await self._apply_batch(apply, batch._replace(ids=[job.id for job in found]))
            batch = batch._replace(event=moved.event)
            note(moved.jobs)
            jobs += len(moved.jobs)
        return Progress(jobs, place)

    async def _apply_batch(self, apply: _Apply, batch: store.Batch) -> store.Moved:
        """Apply one batch, and once more to what it has missed: what maintenance was just moving into a volume."""
        moved = await apply(self._pool, batch)
        if len(moved.jobs) == len(batch.ids):
            return moved
        done = {id for id, _ in moved.jobs}
        missed = [id for id in batch.ids if id not in done]
        again = await apply(self._pool, batch._replace(ids=missed, event=moved.event))
        return store.Moved(moved.jobs + again.jobs, again.event)

    async def count_done(self, wanted: Wanted) -> Progress:
        """How many done jobs there are to be moved, counted up to 100,000 or for some seconds."""
        jobs, place = 0, None
        async for found, place in self._found(wanted, None, _MOST_COUNTED):  # noqa: B007
            jobs += len(found)
        return Progress(jobs, place)

    async def _found(
        self, wanted: Wanted, after: Place | None, most: int
    ) -> AsyncIterator[tuple[list[FoundJob], Place | None]]:
        """Done jobs in batches, the newest first, each with the place of the next one; at most so many in all."""
        end, left = time.monotonic() + _LONGEST_S, most
        while True:
            found = await find(self._pool, wanted.filter, after, min(left, MOST_ROWS))
            left, after = left - len(found.jobs), found.next
            yield found.jobs, after
            if after is None or not left or time.monotonic() > end:
                return

    async def stop_many(self, wanted: Wanted, after: str, result: str | None, size: int | None) -> Progress:
        """Stop open jobs, at most 10,000, each in the attempt that it was found in; this is kept as their result."""
        jobs, place = 0, None
        async for found, place in self._open(wanted, after, _MOST_MOVED, MOST_ROWS):  # noqa: B007
            stops = [
                Finish(job.id, wanted.source, Outcome.STOPPED, result, job.attempt, wanted.by, size) for job in found
            ]
            jobs += (await self._dispatcher.finish_many(stops)).count(None)
        if jobs:
            what = json.dumps({**json.loads(details(wanted, True)), "jobs": jobs})
            await store.record_stop(self._pool, wanted.by, what)
        return Progress(jobs, place)

    async def count_open(self, wanted: Wanted) -> Progress:
        """How many open jobs there are to be stopped, counted up to 100,000 or for some seconds."""
        jobs, place = 0, None
        async for found, place in self._open(wanted, "", _MOST_COUNTED, _MOST_MOVED):  # noqa: B007
            jobs += len(found)
        return Progress(jobs, place)

    async def _open(
        self, wanted: Wanted, after: str, most: int, rows: int
    ) -> AsyncIterator[tuple[list[FoundJob], Place | None]]:
        """Open jobs in batches, by id, each with the place of the next one; at most so many in all."""
        end, left = time.monotonic() + _LONGEST_S, most
        state, since = wanted.filter.state, wanted.filter.since
        assert state
        while True:
            walked = await store.walk_open(self._pool, state, wanted.source, after, min(left, rows))
            found = [job for job in walked if job.at < wanted.until and (since is None or since <= job.at)]
            left -= len(found)
            place = walked[-1].place() if len(walked) == min(left + len(found), rows) else None
            yield found, place
            if place is None or not left or time.monotonic() > end:
                return
            after = place.id


def _note_redone(source: str, jobs: Sequence[tuple[str, int]], by: str | None) -> None:
    metrics.REDONE.inc(len(jobs))
    job_log.record("redone", (JobEvent(id, source, attempt, by=by) for id, attempt in jobs))


def details(wanted: Wanted, has_words: bool) -> str:
    """The filter, for the audit event. The words that deleted jobs were found by may be what is to be forgotten."""
    asked = wanted.filter
    reason = asked.reason if has_words or asked.reason is None else "some words"
    shown = {
        "source": wanted.source,
        "from": asked.state,
        "outcome": asked.outcome,
        "since": asked.since and asked.since.isoformat(),
        "until": wanted.until.isoformat(),
        "reason": reason,
    }
    return json.dumps({name: value for name, value in shown.items() if value is not None})
