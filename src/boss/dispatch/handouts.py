"""Handouts: serve a batch of takes with one statement, or with more where jobs are large, locked or unreadable."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from boss.dispatch.scan_cursors import ScanCursors
from boss.dispatch.source_limits import SourceLimits
from boss.errors import DatabaseAway
from boss.model.job import Outcome, Submission, Take, Taken
from boss.model.scan_cursor import ScanCursor
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.postgres.store import Handout
from boss.telemetry import job_counts, job_log, metrics
from boss.telemetry.job_log import JobEvent

# The outcome of each take, in order: its jobs, none, or the error because of which that is not known.
Got = list[list[Taken] | Exception]
_Asked = TypeVar("_Asked")
_Choose = Callable[[Pool, Sequence[Take], Sequence[str]], Awaitable[Handout]]
_PastCursors = Callable[[Pool, Sequence[Take], Sequence[ScanCursor]], Awaitable[Handout]]

# How long a take of several sources pauses before it looks again at those that somebody else was taking from, in
# seconds: at most 10 ms, so that it sees other jobs that arrive meanwhile, and 5 s in all.
_PAUSES = (0.001, 0.002, 0.004, *[0.01] * 500)
_TAKES = metrics.BATCHES.labels("take")


class Handouts:
    """Serves batches of takes.

    Args:
        pool: the connection pool.
        cursors: the scan cursors past which takes search.
        limits: the source limits.
    """

    def __init__(self, pool: Pool, cursors: ScanCursors, limits: SourceLimits) -> None:
        self._pool = pool
        self._cursors = cursors
        self._limits = limits

    def note_stored(self, submissions: Sequence[Submission]) -> None:
        """Let takes find these new jobs, if their priority had none before."""
        if self._cursors.needed:
            self._cursors.include({(each.source, each.priority) for each in submissions})

    async def of_any(self, takes: Sequence[Take]) -> Got:
        """Serve takes from any source."""
        return await self._past_cursors(store.take, takes)

    async def of_sources(self, takes: Sequence[Take]) -> Got:
        """Serve takes that each name one source."""
        return await self._past_cursors(store.take_of_sources, takes)

    async def _past_cursors(self, statement: _PastCursors, takes: Sequence[Take]) -> Got:
        """Search past the cursors first; takes that find no job there search again from the start."""
        sources = {take.source for take in takes}
        self._cursors.asked |= sources
        got = _nothing(takes)
        if not self._cursors.needed:
            await self._fill(got, takes, lambda asking: statement(self._pool, asking, ()))
            return _record(takes, got)
        cursors, generation = self._cursors.for_sources(sources), self._cursors.generation
        if cursors:
            await self._fill(got, takes, lambda asking: statement(self._pool, asking, cursors))
        await self._fill(got, takes, partial(self._from_start, statement), range(len(takes)))
        for take, jobs in zip(takes, got, strict=True):
            if not isinstance(jobs, Exception):
                self._cursors.advance(take.source, jobs, generation)
        return _record(takes, got)

    async def _from_start(self, statement: _PastCursors, takes: Sequence[Take]) -> Handout:
        """Search from the start for those takes whose sources have any available job: the walk may be long."""
        sources = [take.source for take in takes if take.source is not None]
        available = await store.available_sources(self._pool, sources or None)
        asking = [
            index for index, take in enumerate(takes) if available and (take.source is None or take.source in available)
        ]
        jobs: list[list[Taken]] = [[] for _ in takes]
        if not asking:
            return Handout(jobs, more=False, unreadable=[], passed=[])
        handout = await statement(self._pool, [takes[index] for index in asking], ())
        for index, found in zip(asking, handout.jobs, strict=True):
            jobs[index] = found
        return handout._replace(jobs=jobs)

    async def within_limits(self, takes: Sequence[Take]) -> Got:
        """Serve takes from sources with limits, and fair takes."""
        got = _nothing(takes)
        await self._fill_alike(got, takes, store.take_within_limits, range(len(takes)))
        return _record(takes, got)

    async def of_several(self, takes: Sequence[Take]) -> Got:
        """Serve takes that each name several sources, none of which has a limit."""
        got = _nothing(takes)
        await self._fill_alike(got, takes, store.take_of_several, range(len(takes)))
        return _record(takes, got)

    async def _fill_alike(self, got: Got, takes: Sequence[Take], choose: _Choose, indexes: Iterable[int]) -> None:
        """Serve the takes at these indexes; those that name the same sources share a statement."""
        for alike in _alike(takes, lambda take: (take.of(), take.fair), indexes):
            # Jobs that another transaction has locked are not tried again: another job may be free.
            passed: list[str] = []

            pauses = iter(_PAUSES)

            async def statement(
                asking: Sequence[Take], passed: list[str] = passed, pauses: Iterator[float] = pauses
            ) -> Handout:
                handout = await choose(self._pool, asking, passed)
                passed.extend(handout.passed)
                if not handout.busy or any(handout.jobs):
                    return handout
                pause = next(pauses, None)
                if pause is None:
                    return handout._replace(more=False)
                await asyncio.sleep(pause)
                return handout

            await self._fill(got, takes, statement, alike)

    async def by_key(self, takes: Sequence[Take]) -> Got:
        """Serve takes with distinct keys. A take whose key still holds jobs gets those again, and no others."""
        got = _nothing(takes)
        limited = [index for index, take in enumerate(takes) if self._limits.applies_to(take)]
        await self._fill_alike(got, takes, store.take_within_limits, limited)
        several = [index for index, take in enumerate(takes) if take.sources is not None and index not in limited]
        await self._fill_alike(got, takes, store.take_of_several, several)
        free = sorted({*range(len(takes))} - {*limited, *several})
        for indexes in _alike(takes, lambda take: take.source is None, free):
            statement = store.take_by_key if takes[indexes[0]].source is None else store.take_of_sources_by_key
            await self._fill(got, takes, partial(statement, self._pool), indexes)
        await self._fill(got, takes, self._again, range(len(takes)))
        return _record(takes, got)

    async def _again(self, takes: Sequence[Take]) -> Handout:
        held = await store.take_again(self._pool, [take.key for take in takes if take.key])
        return Handout([held.get(take.key or "", []) for take in takes], more=bool(held), unreadable=[], passed=[])

    async def by_address(self, asked: Sequence[tuple[str, Take]]) -> Got:
        """Serve takes of one given job each: the job's id, and a take that names its source."""
        got = _nothing(asked)
        for indexes in _alike(asked, self._limited_source):
            is_limited = self._limited_source(asked[indexes[0]]) is not None
            await self._fill(got, asked, partial(store.take_by_address, self._pool, is_limited), indexes)
        return _record([take for _, take in asked], got)

    def _limited_source(self, asked: tuple[str, Take]) -> str | None:
        take = asked[1]
        return take.source if self._limits.applies_to(take) else None

    async def _fill(
        self,
        got: Got,
        asked: Sequence[_Asked],
        statement: Callable[[Sequence[_Asked]], Awaitable[Handout]],
        indexes: Iterable[int] | None = None,
    ) -> None:
        """Run the statement for those at these indexes that have got nothing, again while jobs did not fit into it.

        Without indexes it serves all: then none of them has got anything yet.
        """
        asking: Sequence[int] = range(len(got)) if indexes is None else _empty(got, indexes)
        more = True
        while asking and more:
            try:
                handout = await statement(asked if len(asking) == len(asked) else [asked[index] for index in asking])
            except Exception as error:
                # The other takes have got jobs already and must get their answers, whatever this error is.
                for index in asking:
                    got[index] = error
                return
            for index, jobs in zip(asking, handout.jobs, strict=True):
                got[index] = jobs
            asking, more = _empty(got, asking), handout.more
            if handout.unreadable:
                await self._set_aside(handout.unreadable)

    async def _set_aside(self, ids: Sequence[str]) -> None:
        """Fail the jobs whose documents are too large for any taker. If the database is away, a later take does it."""
        try:
            sources = await store.set_aside(self._pool, ids)
        except DatabaseAway:
            return
        job_counts.finished((source, Outcome.FAILED) for source in sources.values())
        events = [JobEvent(id, source, outcome=Outcome.FAILED) for id, source in sources.items()]
        job_log.record("set aside as too large to be read", events)


def _nothing(asked: Sequence[object]) -> Got:
    return [[] for _ in asked]


def _empty(got: Got, indexes: Iterable[int]) -> list[int]:
    return [index for index in indexes if got[index] == []]


def _alike(
    asked: Sequence[_Asked], kind: Callable[[_Asked], object], indexes: Iterable[int] | None = None
) -> Iterable[list[int]]:
    """These indexes into `asked`, or all, grouped by the kind of what they point at."""
    kinds: dict[object, list[int]] = {}
    for index in range(len(asked)) if indexes is None else indexes:
        kinds.setdefault(kind(asked[index]), []).append(index)
    return kinds.values()


def _record(takes: Sequence[Take], got: Got) -> Got:
    """Count what was handed out, write it to the job log, and return `got`."""
    _TAKES.observe(len(takes))
    taken = [
        (each.job, take.by)
        for take, jobs in zip(takes, got, strict=True)
        if not isinstance(jobs, Exception)
        for each in jobs
    ]
    job_counts.taken(job.source for job, _ in taken)
    job_log.record("taken", (JobEvent(job.id, job.source, job.attempt, by=by) for job, by in taken))
    return got
