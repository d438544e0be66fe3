"""What a batch of takes gets: by one statement, or by more where jobs are large, locked or unreadable."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from boss.dispatch.scan_cursors import ScanCursors
from boss.dispatch.source_limits import SourceLimits
from boss.errors import DatabaseAway
from boss.model.job import Outcome, Take, Taken
from boss.model.scan_cursor import ScanCursor
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.postgres.store import Handout
from boss.telemetry import job_log, metrics
from boss.telemetry.job_log import JobEvent

# What each take got, in their order: jobs, none, or why it is not known.
Got = list[list[Taken] | Exception]
_Asked = TypeVar("_Asked")
_Choose = Callable[[Pool, Sequence[Take], Sequence[str]], Awaitable[Handout]]
_PastMarks = Callable[[Pool, Sequence[Take], Sequence[ScanCursor]], Awaitable[Handout]]

_TAKES = metrics.BATCHES.labels("take")


class Handouts:
    """Serves batches of takes.

    Args:
        pool: the database.
        cursors: past which the takes look.
        rules: what takes are held to.
    """

    def __init__(self, pool: Pool, cursors: ScanCursors, rules: SourceLimits) -> None:
        self._pool = pool
        self._cursors = cursors
        self._rules = rules

    async def of_any(self, takes: Sequence[Take]) -> Got:
        """For takes of any source."""
        return await self._past_cursors(store.take, takes)

    async def of_sources(self, takes: Sequence[Take]) -> Got:
        """For takes that each name a source."""
        return await self._past_cursors(store.take_of_sources, takes)

    async def _past_cursors(self, statement: _PastMarks, takes: Sequence[Take]) -> Got:
        """Takes that find no job past the cursors search again from the start."""
        self._cursors.takes += 1
        cursors = self._cursors.for_sources({take.source for take in takes}) if self._cursors.any else []
        generation, got = self._cursors.generation, _nothing(takes)
        await self._fill(got, takes, lambda asking: statement(self._pool, asking, cursors))
        if cursors:
            await self._fill(got, takes, lambda asking: statement(self._pool, asking, ()), range(len(takes)))
            for take, jobs in zip(takes, got, strict=True):
                if not isinstance(jobs, Exception):
                    self._cursors.advance(take.source, jobs, generation)
        return _record(takes, got)

    async def by_rules(self, takes: Sequence[Take]) -> Got:
        """For takes that the rules of sources may hold back, and fair ones."""
        got = _nothing(takes)
        await self._fill_alike(got, takes, store.take_by_rules, range(len(takes)))
        return _record(takes, got)

    async def of_several(self, takes: Sequence[Take]) -> Got:
        """For takes that each name several sources, which no rule holds back."""
        got = _nothing(takes)
        await self._fill_alike(got, takes, store.take_of_several, range(len(takes)))
        return _record(takes, got)

    async def _fill_alike(self, got: Got, takes: Sequence[Take], choose: _Choose, places: Iterable[int]) -> None:
        """Fill those at these places, the takes of the same sources together."""
        for alike in _alike(takes, lambda take: (take.of(), take.fair), places):
            # What somebody else has got hold of is not looked at again: another job may be free.
            passed: list[str] = []

            async def statement(asking: Sequence[Take], passed: list[str] = passed) -> Handout:
                handout = await choose(self._pool, asking, passed)
                passed.extend(handout.passed)
                return handout

            await self._fill(got, takes, statement, alike)

    async def by_key(self, takes: Sequence[Take]) -> Got:
        """For takes with keys, each another. One whose key still holds jobs gets those again, and nothing else."""
        got = _nothing(takes)
        ruled = [place for place, take in enumerate(takes) if self._rules.applies_to(take)]
        await self._fill_alike(got, takes, store.take_by_rules, ruled)
        several = [place for place, take in enumerate(takes) if take.sources is not None and place not in ruled]
        await self._fill_alike(got, takes, store.take_of_several, several)
        free = sorted({*range(len(takes))} - {*ruled, *several})
        for places in _alike(takes, lambda take: take.source is None, free):
            statement = store.take_by_key if takes[places[0]].source is None else store.take_of_sources_by_key
            await self._fill(got, takes, partial(statement, self._pool), places)
        await self._fill(got, takes, self._again, range(len(takes)))
        return _record(takes, got)

    async def _again(self, takes: Sequence[Take]) -> Handout:
        held = await store.take_again(self._pool, [take.key for take in takes if take.key])
        return Handout([held.get(take.key or "", []) for take in takes], more=bool(held), unreadable=[], passed=[])

    async def by_address(self, asked: Sequence[tuple[str, Take]]) -> Got:
        """For takes of one job each: its id, and a take that names its source."""
        got = _nothing(asked)
        for places in _alike(asked, lambda each: self._rules.applies_to(each[1])):
            by_rules = self._rules.applies_to(asked[places[0]][1])
            await self._fill(got, asked, partial(store.take_by_address, self._pool, by_rules), places)
        return _record([take for _, take in asked], got)

    async def _fill(
        self,
        got: Got,
        asked: Sequence[_Asked],
        statement: Callable[[Sequence[_Asked]], Awaitable[Handout]],
        places: Iterable[int] | None = None,
    ) -> None:
        """Give to those at these places who have got nothing, as often as there is more than fits into a statement.

        To all, when no places are given: they have not got anything yet.
        """
        asking: Sequence[int] = range(len(got)) if places is None else _empty(got, places)
        more = True
        while asking and more:
            try:
                handout = await statement(asked if len(asking) == len(asked) else [asked[place] for place in asking])
            except Exception as error:
                # Whatever it was, the others have got theirs, and must hear of it.
                for place in asking:
                    got[place] = error
                return
            for place, jobs in zip(asking, handout.jobs, strict=True):
                got[place] = jobs
            asking, more = _empty(got, asking), handout.more
            if handout.unreadable:
                await self._set_aside(handout.unreadable)

    async def _set_aside(self, ids: Sequence[str]) -> None:
        """Have jobs fail that nobody can be given; should the database go away, the next take comes upon them."""
        try:
            sources = await store.set_aside(self._pool, ids)
        except DatabaseAway:
            return
        metrics.FINISHED.labels(Outcome.FAILED).inc(len(sources))
        moves = [JobEvent(id, source, outcome=Outcome.FAILED) for id, source in sources.items()]
        job_log.record("set aside as too large to be read", moves)


def _nothing(asked: Sequence[object]) -> Got:
    return [[] for _ in asked]


def _empty(got: Got, places: Iterable[int]) -> list[int]:
    return [place for place in places if got[place] == []]


def _alike(
    asked: Sequence[_Asked], kind: Callable[[_Asked], object], places: Iterable[int] | None = None
) -> Iterable[list[int]]:
    """The places of what is asked, of these or of all, those of a kind together."""
    kinds: dict[object, list[int]] = {}
    for place in range(len(asked)) if places is None else places:
        kinds.setdefault(kind(asked[place]), []).append(place)
    return kinds.values()


def _record(takes: Sequence[Take], got: Got) -> Got:
    """The same, once what was handed out is counted and in the job log."""
    _TAKES.observe(len(takes))
    taken = [
        (each.job, take.by)
        for take, jobs in zip(takes, got, strict=True)
        if not isinstance(jobs, Exception)
        for each in jobs
    ]
    metrics.TAKEN.inc(len(taken))
    job_log.record("taken", (JobEvent(job.id, job.source, job.attempt, by=by) for job, by in taken))
    return got
