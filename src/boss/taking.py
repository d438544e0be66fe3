"""Takes: coalesced, waiting if asked to, and undone when their taker has gone before it heard of them."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TypeVar

from boss import journal, metrics, store
from boss.coalescer import Coalescer
from boss.database import Pool
from boss.errors import DatabaseAway, NoJob, Overloaded, TooMany
from boss.job import SourceRule, Take, Taken
from boss.journal import Move
from boss.line import Line, Place
from boss.marks import Mark, Marks
from boss.rules import Rules

# A statement this large is well past the point where a larger one is faster.
_MOST_JOBS = 1000
# Of the places in which takers wait, one token gets one in so many.
_SHARES = 10
# How long to wait for the database before an undo is tried again, in seconds.
_RETRY = 0.5
_TAKES = metrics.BATCHES.labels("take")

_Statement = Callable[[Pool, Sequence[Take], Sequence[Mark]], Awaitable[list[list[Taken]]]]


def _limit(take: Take) -> int:
    return take.limit


class Taking:
    """Hands out jobs.

    Args:
        pool: the database.
        line: where takers wait, no more of them than `most_waiting`.
        marks: past which the takes look.
        rules: what takes are held to.
        announce: has arriving jobs announced to this replica; returns True when they were not before.
    """

    def __init__(
        self,
        pool: Pool,
        line: Line,
        marks: Marks,
        rules: Rules,
        announce: Callable[[], Coroutine[None, None, bool]],
        most_waiting: int,
    ) -> None:
        self._pool = pool
        self._line = line
        self._most_waiting = most_waiting
        self._marks = marks
        self._rules = rules
        self._announce = announce
        self._undoing: set[asyncio.Task[None]] = set()
        self._of_any = Coalescer(self._take_of_any, most=_MOST_JOBS, weigh=_limit, unclaimed=self._undo)
        self._of_source = Coalescer(self._take_of_sources, most=_MOST_JOBS, weigh=_limit, unclaimed=self._undo)
        self._by_rules = Coalescer(self._take_by_rules, most=_MOST_JOBS, weigh=_limit, unclaimed=self._undo)
        self._with_key = Coalescer(
            self._take_with_keys, most=_MOST_JOBS, weigh=_limit, key=lambda take: take.key, unclaimed=self._undo
        )
        self._by_address = Coalescer(
            self._take_by_address,
            most=_MOST_JOBS,
            key=lambda asked: asked[0],
            unclaimed=lambda taken: self._undo([taken] if taken else []),
        )
        self._untakes = Coalescer(self._untake_all, most=_MOST_JOBS)

    async def now(self, take: Take) -> list[Taken]:
        """Take what is ready now; an empty list when nothing is."""
        if take.key is not None:
            return await self._with_key(take)
        if self._rules.hold(take):
            return await self._by_rules(take)
        return await (self._of_any(take) if take.source is None else self._of_source(take))

    async def waiting(self, take: Take, seconds: float) -> list[Taken]:
        """As `now`, but wait for that long for a job to arrive, behind those who wait already.

        Raises:
            NoJob: none did.
            Draining: this replica is shutting down.
            NotSignedIn: the taker's token does not count any more.
            Overloaded: as many wait here as may.
            TooMany: as many wait here with the taker's token as may.
        """
        self._check_place(take.by)
        until = asyncio.get_running_loop().time() + seconds
        with self._line.joined(take.of(), take.limit, take.by) as place:
            # Somebody who waits for the same must not be overtaken: what arrives wakes them first, then us.
            slept = self._line.is_waited_for(take.of()) and take.key is None
            if slept:
                await self._sleep(place, until, take)
            while True:
                try:
                    if taken := await self._look(take):
                        return taken
                except DatabaseAway:
                    if not slept:
                        raise
                await self._sleep(place, until, take)
                slept = True

    def _check_place(self, by: str | None) -> None:
        if self._line.waiting >= self._most_waiting:
            raise Overloaded(
                f"{self._most_waiting:,} takers wait here, which is the most; ask another replica, or without a wait"
            )
        # So that one cannot have all places. Without tokens everybody is one.
        share = max(1, self._most_waiting // _SHARES)
        if by is not None and self._line.waiting_with(by) >= share:
            raise TooMany(
                f"{share:,} takers wait here with the token {by}, which is the most for one; "
                "ask without a wait, or give each of them a token of its own"
            )

    async def by_address(self, id: str, take: Take) -> Taken | None:
        """Take this one job of the take's source, or get it again by the take's key; None when neither can be."""
        taken = await self._by_address((id, take))
        if taken is None and take.key is not None:
            [taken] = (await store.take_again(self._pool, [take.key])).get(take.key, [None])
        return taken

    def _undo(self, taken: Sequence[Taken]) -> None:
        """Put back, in the background, what was taken for somebody who has gone without hearing of it."""
        for each in taken:
            task = asyncio.create_task(self._undo_one(each))
            self._undoing.add(task)
            task.add_done_callback(self._undoing.discard)

    async def settle(self) -> None:
        """Return once every take is over, and all that is to be undone is undone."""
        for takes in (self._of_any, self._of_source, self._by_rules, self._with_key, self._by_address):
            await takes.settle()
        while self._undoing:
            await asyncio.wait(self._undoing)

    async def _look(self, take: Take) -> list[Taken]:
        """Take, as often as something may have become ready unheard meanwhile."""
        while True:
            unheard = self._line.unheard
            if taken := await self.now(take):
                return taken
            if not await self._announce() and unheard == self._line.unheard:
                return []

    async def _sleep(self, place: Place, until: float, take: Take) -> None:
        if not await self._line.sleep(place, until):
            raise self.no_job(take)

    def no_job(self, take: Take) -> NoJob:
        """The error of a take that finds nothing."""
        if take.source is None:
            return NoJob("no job is available")
        rule = self._rules.rule(take.source)
        if rule.paused:
            return NoJob(f"{take.source} is paused: none of its jobs is handed out")
        return NoJob(f"no job is available from {take.source}{_within(rule)}")

    async def _take_of_any(self, takes: Sequence[Take]) -> list[list[Taken] | Exception]:
        return _noted(takes, await self._take_past_marks(store.take, takes))

    async def _take_of_sources(self, takes: Sequence[Take]) -> list[list[Taken] | Exception]:
        return _noted(takes, await self._take_past_marks(store.take_of_sources, takes))

    async def _take_past_marks(self, statement: _Statement, takes: Sequence[Take]) -> list[list[Taken] | Exception]:
        """Take; whoever gets nothing past the marks looks from the start of the queue."""
        _TAKES.observe(len(takes))
        self._marks.takes += 1
        marks, puts = self._marks.of({take.source for take in takes}), self._marks.puts
        got: list[list[Taken] | Exception] = [*await statement(self._pool, takes, marks)]
        if not marks:
            return got
        self._advance_marks(takes, got, puts)
        if empty := [place for place, jobs in enumerate(got) if not jobs]:
            again = [takes[place] for place in empty]
            try:
                found: list[list[Taken] | Exception] = [*await statement(self._pool, again, ())]
            except Exception as error:
                # Whatever it was, the others have got theirs, and must hear of it.
                found = [error] * len(empty)
            self._advance_marks(again, found, puts)
            for place, jobs in zip(empty, found, strict=True):
                got[place] = jobs
        return got

    def _advance_marks(self, takes: Sequence[Take], got: Sequence[list[Taken] | Exception], puts: int) -> None:
        for take, jobs in zip(takes, got, strict=True):
            if not isinstance(jobs, Exception):
                self._marks.advance(take.source, jobs, puts)

    async def _take_by_rules(self, takes: Sequence[Take]) -> list[list[Taken]]:
        _TAKES.observe(len(takes))
        return _noted(takes, await store.take_by_rules(self._pool, takes))

    async def _take_with_keys(self, takes: Sequence[Take]) -> list[list[Taken]]:
        _TAKES.observe(len(takes))
        return _noted(takes, await store.take_once_per_key(self._pool, takes, self._rules.hold))

    async def _take_by_address(self, asked: Sequence[tuple[str, Take]]) -> list[Taken | None]:
        free = {id: take for id, take in asked if not self._rules.hold(take)}
        ruled = {id: take for id, take in asked if id not in free}
        taken = await store.take_by_address(self._pool, free) if free else {}
        if ruled:
            taken |= await store.take_by_address_and_rules(self._pool, ruled)
        got = [taken.get(id) for id, _ in asked]
        _noted([take for _, take in asked], [[each] if each else [] for each in got])
        return got

    async def _undo_one(self, taken: Taken) -> None:
        # A take without end would never come back by itself, so this does not give up.
        while True:
            try:
                await self._untakes(taken)
            except DatabaseAway:
                await asyncio.sleep(_RETRY)
            else:
                return

    async def _untake_all(self, taken: Sequence[Taken]) -> list[None]:
        undone = await store.untake(self._pool, taken)
        journal.record("take undone", (Move(each.job.id, each.job.source) for each in taken if each.job.id in undone))
        return [None] * len(taken)


_Answer = TypeVar("_Answer", list[Taken], list[Taken] | Exception)


def _noted(takes: Sequence[Take], answers: list[_Answer]) -> list[_Answer]:
    """The same, once what was handed out is counted and in the journal."""
    taken = [
        (each.job, take.by)
        for take, answer in zip(takes, answers, strict=True)
        if not isinstance(answer, Exception)
        for each in answer
    ]
    metrics.TAKEN.inc(len(taken))
    journal.record("taken", (Move(job.id, job.source, job.attempt, by=by) for job, by in taken))
    return answers


def _within(rule: SourceRule) -> str:
    return "" if rule.limit is None else f", of which {rule.limit} at most are active at once"
