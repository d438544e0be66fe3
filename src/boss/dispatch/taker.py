"""Takes: coalesced, waiting if asked to, and undone when their taker has gone before it heard of them."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from operator import attrgetter

from boss.coalescer import Coalescer, Turns
from boss.dispatch.handouts import Got, Handouts
from boss.dispatch.source_limits import SourceLimits
from boss.dispatch.wait_queue import Waiter, WaitQueue
from boss.errors import DatabaseAway, NoJob, Overloaded, TooMany
from boss.model.job import SourceLimit, Take, Taken
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.telemetry import job_log
from boss.telemetry.job_log import JobEvent

# A statement this large is well past the point where a larger one is faster.
_MOST_JOBS = 1000
# Those at addresses are all measured, if it is not known how large they are.
_MOST_ADDRESSES = 64
# Of the places in which takers wait, one token gets one in so many.
_SHARES = 10
# How many sources an error names.
_MOST_LISTED = 10
# How long to wait for the database before an undo is tried again, in seconds.
_RETRY = 0.5


_limit, _key = attrgetter("limit"), attrgetter("key")


class Taker:
    """Hands out jobs.

    Args:
        pool: the database.
        line: where takers wait, no more of them than `most_waiting`.
        handouts: serve the takes, over the same pool.
        rules: what takes are held to.
        announce: has arriving jobs announced to this replica; returns True when they were not before.
    """

    def __init__(
        self,
        pool: Pool,
        wait_queue: WaitQueue,
        handouts: Handouts,
        rules: SourceLimits,
        announce: Callable[[], Coroutine[None, None, bool]],
        most_waiting: int,
    ) -> None:
        self._pool = pool
        self._wait_queue = wait_queue
        self._most_waiting = most_waiting
        self._rules = rules
        self._announce = announce
        self._undoing: set[asyncio.Task[None]] = set()
        self.turns = turns = Turns()

        def of(
            statement: Callable[[Sequence[Take]], Awaitable[Got]],
            turns: Turns | None,
            key: Callable[[Take], object] | None = None,
        ) -> Coalescer[Take, list[Taken]]:
            return Coalescer(statement, most=_MOST_JOBS, weigh=_limit, key=key, on_abandoned=self.undo, turns=turns)

        self._of_any, self._of_source = of(handouts.of_any, turns), of(handouts.of_sources, turns)
        self._with_key = of(handouts.by_key, turns, _key)
        self._by_address = Coalescer(
            handouts.by_address, most=_MOST_ADDRESSES, key=lambda asked: asked[0], on_abandoned=self.undo, turns=turns
        )
        # Those that are chosen before they are locked take longer, and wait for other replicas: outside the turns.
        self._of_several, self._by_rules = of(handouts.of_several, None), of(handouts.by_rules, None)
        self._chosen_with_key = of(handouts.by_key, None, _key)
        self._undos = Coalescer(self._undo_all, most=_MOST_JOBS)

    async def take(self, take: Take, wait: float = 0) -> list[Taken]:
        """Make the oldest available jobs active, at least one; wait for one to arrive for at most `wait` seconds.

        Raises:
            NoJob: there is none.
            Draining: this replica was shut down while the taker waited.
        """
        if wait:
            return await self.waiting(take, wait)
        taken = await self._coalescer(take)(take)
        if not taken:
            raise self.no_job(take)
        return taken

    async def now(self, take: Take) -> list[Taken]:
        """Take what is ready now; an empty list when nothing is."""
        return await self._coalescer(take)(take)

    def _coalescer(self, take: Take) -> Coalescer[Take, list[Taken]]:
        by_rules = (take.fair or not self._rules.none) and self._rules.applies_to(take)
        chosen = by_rules or take.sources is not None
        if take.key is not None:
            return self._chosen_with_key if chosen else self._with_key
        if chosen:
            return self._by_rules if by_rules else self._of_several
        return self._of_any if take.source is None else self._of_source

    async def waiting(self, take: Take, seconds: float) -> list[Taken]:
        """As `now`, but wait for that long for a job to arrive, behind those who wait already.

        Raises:
            NoJob: none did.
            Draining: this replica is shutting down.
            Unauthenticated: the taker's token does not count any more.
            Overloaded: as many wait here as may.
            TooMany: as many wait here with the taker's token as may.
        """
        self._check_place(take.by)
        until = asyncio.get_running_loop().time() + seconds
        with self._wait_queue.joined(take.of(), take.limit, take.by) as waiter:
            # Somebody who waits for the same must not be overtaken: what arrives wakes them first, then us.
            slept = self._wait_queue.is_waited_for(take.of()) and take.key is None
            if slept:
                await self._sleep(waiter, until, take)
            while True:
                try:
                    if taken := await self._look(take):
                        return taken
                except DatabaseAway:
                    if not slept:
                        raise
                await self._sleep(waiter, until, take)
                slept = True

    def _check_place(self, by: str | None) -> None:
        if self._wait_queue.waiting >= self._most_waiting:
            raise Overloaded(
                f"{self._most_waiting:,} takers wait here, which is the most; ask another replica, or without a wait"
            )
        # So that one cannot have all places. Without tokens everybody is one.
        share = max(1, self._most_waiting // _SHARES)
        if by is not None and self._wait_queue.waiting_with(by) >= share:
            raise TooMany(
                f"{share:,} takers wait here with the token {by}, which is the most for one; "
                "ask without a wait, or give each of them a token of its own"
            )

    async def by_address(self, id: str, take: Take) -> Taken | None:
        """Take this one job of the take's source, or get it again by the take's key; None when neither can be."""
        taken = await self._by_address((id, take))
        if not taken and take.key is not None:
            taken = (await store.take_again(self._pool, [take.key])).get(take.key, [])
        return taken[0] if taken else None

    def undo(self, taken: Sequence[Taken]) -> None:
        """Put back, in the background, what was taken for somebody who has gone without hearing of it."""
        for each in taken:
            task = asyncio.create_task(self._undo_one(each))
            self._undoing.add(task)
            task.add_done_callback(self._undoing.discard)

    async def settle(self) -> None:
        """Return once every take is over, and all that is to be undone is undone."""
        await self.turns.settle()
        for takes in (self._of_several, self._by_rules, self._chosen_with_key):
            await takes.settle()
        while self._undoing:
            await asyncio.wait(self._undoing)

    async def _look(self, take: Take) -> list[Taken]:
        """Take, as often as something may have become ready missed meanwhile."""
        while True:
            missed = self._wait_queue.missed
            if taken := await self.now(take):
                return taken
            if not await self._announce() and missed == self._wait_queue.missed:
                return []

    async def _sleep(self, waiter: Waiter, until: float, take: Take) -> None:
        if not await self._wait_queue.sleep(waiter, until):
            raise self.no_job(take)

    def no_job(self, take: Take) -> NoJob:
        """The error of a take that finds nothing."""
        if take.sources:
            return NoJob(f"no job is available from {_listed(take.sources)}")
        if take.source is None:
            return NoJob("no job is available")
        rule = self._rules.rule(take.source)
        if rule.paused:
            return NoJob(f"{take.source} is paused: none of its jobs is handed out")
        return NoJob(f"no job is available from {take.source}{_within(rule)}")

    async def _undo_one(self, taken: Taken) -> None:
        # A take without end would never come back by itself, so this does not give up.
        while True:
            try:
                await self._undos(taken)
            except DatabaseAway:
                await asyncio.sleep(_RETRY)
            else:
                return

    async def _undo_all(self, taken: Sequence[Taken]) -> list[None]:
        undone = await store.undo_takes(self._pool, taken)
        job_log.record(
            "take undone", (JobEvent(each.job.id, each.job.source) for each in taken if each.job.id in undone)
        )
        return [None] * len(taken)


def _listed(sources: Sequence[str]) -> str:
    more = f" and {len(sources) - _MOST_LISTED:,} more" if len(sources) > _MOST_LISTED else ""
    return ", ".join(sources[:_MOST_LISTED]) + more


def _within(rule: SourceLimit) -> str:
    return "" if rule.limit is None else f", of which {rule.limit} at most are active at once"
