"""Takes: coalesced, waiting when asked to, and undone when their taker disconnects before it gets its answer."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from operator import attrgetter, itemgetter
from typing import NamedTuple

from boss.coalescer import Coalescer, Turns
from boss.dispatch.handouts import Got, Handouts
from boss.dispatch.mismatches import listed
from boss.dispatch.rates import Rates
from boss.dispatch.source_limits import SourceLimits
from boss.dispatch.wait_queue import Waiter, WaitQueue
from boss.errors import DatabaseAway, NoJob, Overloaded, TooMany
from boss.model.job import Take, Taken
from boss.model.source_rule import SourceRule
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.postgres.statement import MOST_ROWS
from boss.telemetry import job_log
from boss.telemetry.job_log import JobEvent

# The most addresses of a statement: it measures each of these jobs whose size is not known.
_MOST_ADDRESSES = 64
# One token may have 1/10 of those who may wait.
SHARES = 10
# The most sources that an error names.
_MOST_LISTED = 10
# The delay before an undo is retried while the database is away.
_RETRY_S = 0.5


_limit, _key = attrgetter("limit"), attrgetter("key")


class _Ruled(NamedTuple):
    """The coalescers of one source with a limit."""

    takes: Coalescer[Take, list[Taken]]
    with_key: Coalescer[Take, list[Taken]]
    by_address: Coalescer[tuple[str, Take], list[Taken]]


class Taker:
    """Hands out jobs.

    Args:
        pool: the connection pool.
        wait_queue: the takers that wait on this replica.
        handouts: serves batches of takes, over the same pool.
        limits: the source limits.
        announce: asks for announcements of arriving jobs; returns True when they have just begun.
        most_waiting: the most takers that may wait.
    """

    def __init__(
        self,
        pool: Pool,
        wait_queue: WaitQueue,
        handouts: Handouts,
        limits: SourceLimits,
        announce: Callable[[], Coroutine[None, None, bool]],
        most_waiting: int,
    ) -> None:
        self._pool = pool
        self._wait_queue = wait_queue
        self._most_waiting = most_waiting
        self._limits = limits
        self._announce = announce
        self._rates = Rates(pool, wait_queue, limits)
        self._undoing: set[asyncio.Task[None]] = set()
        self.turns = turns = Turns()
        self.note_stored = handouts.note_stored

        def of(
            statement: Callable[[Sequence[Take]], Awaitable[Got]],
            turns: Turns | None,
            key: Callable[[Take], object] | None = None,
        ) -> Coalescer[Take, list[Taken]]:
            return Coalescer(statement, most=MOST_ROWS, weigh=_limit, key=key, on_abandoned=self.undo, turns=turns)

        def by_address(turns: Turns | None) -> Coalescer[tuple[str, Take], list[Taken]]:
            return Coalescer(
                handouts.by_address, most=_MOST_ADDRESSES, key=itemgetter(0), on_abandoned=self.undo, turns=turns
            )

        self._of_any, self._of_source = of(handouts.of_any, turns), of(handouts.of_sources, turns)
        self._with_key, self._by_address = of(handouts.by_key, turns, _key), by_address(turns)
        # These statements choose jobs before they lock them. They take longer and may wait for other replicas, so they
        # run outside the turns.
        self._of_several, self._within_limits = of(handouts.of_several, None), of(handouts.within_limits, None)
        self._chosen_with_key = of(handouts.by_key, None, _key)
        # Takes of one source with a limit wait for its lock. Those of other sources do not wait behind them.
        self._ruled: dict[str, _Ruled] = {}

        def ruled() -> _Ruled:
            return _Ruled(of(handouts.within_limits, None), of(handouts.by_key, None, _key), by_address(None))

        self._make_ruled = ruled
        self._undos = Coalescer(self._undo_all, most=MOST_ROWS)

    async def take(self, take: Take, wait: float = 0) -> list[Taken]:
        """Make the first available jobs active, at least one; wait up to `wait` seconds for one to arrive.

        Raises:
            NoJob: there is none.
            Draining: this replica was shut down while the taker waited.
        """
        if wait:
            return await self.take_or_wait(take, wait)
        taken = await self._coalescer(take)(take)
        if not taken:
            raise self.no_job(take)
        return taken

    async def take_now(self, take: Take) -> list[Taken]:
        """Take what is ready now; returns an empty list when nothing is."""
        return await self._coalescer(take)(take)

    def _coalescer(self, take: Take) -> Coalescer[Take, list[Taken]]:
        is_limited = (take.fair or not self._limits.none) and self._limits.applies_to(take)
        if is_limited and take.source is not None:
            ruled = self._ruled_of(take.source)
            return ruled.takes if take.key is None else ruled.with_key
        chosen = is_limited or take.sources is not None
        if take.key is not None:
            return self._chosen_with_key if chosen else self._with_key
        if chosen:
            return self._within_limits if is_limited else self._of_several
        return self._of_any if take.source is None else self._of_source

    def _ruled_of(self, source: str) -> "_Ruled":
        if source not in self._ruled:
            self._ruled[source] = self._make_ruled()
        return self._ruled[source]

    async def take_or_wait(self, take: Take, seconds: float) -> list[Taken]:
        """Like `take_now`, but wait up to so many seconds for a job to arrive, behind the takers that wait already.

        Raises:
            NoJob: none arrived.
            Draining: this replica is shutting down.
            Unauthenticated: the taker's token is not valid any more.
            Overloaded: as many takers wait on this replica as may.
            TooMany: as many takers wait here with the taker's token as may.
        """
        self._check_share(take.by)
        until = asyncio.get_running_loop().time() + seconds
        with self._wait_queue.joined(take.of(), take.limit, take.by) as waiter:
            # Do not overtake those who wait for the same sources: an arriving job wakes them first.
            slept = self._wait_queue.is_waited_for(take.of()) and take.key is None
            if slept:
                await self._sleep(waiter, until, take)
            while True:
                try:
                    taken = await self._search(take)
                    self._rates.wake_later(take.of(), found=bool(taken))
                    if taken:
                        return taken
                except DatabaseAway:
                    if not slept:
                        raise
                await self._sleep(waiter, until, take)
                slept = True

    def _check_share(self, by: str | None) -> None:
        if self._wait_queue.waiting >= self._most_waiting:
            raise Overloaded(
                f"{self._most_waiting:,} takers wait here, which is the most; ask another replica, or do not wait"
            )
        # One token cannot fill the whole queue. Without tokens nobody can be told apart, so there is no share.
        share = max(1, self._most_waiting // SHARES)
        if by is not None and self._wait_queue.waiting_with(by) >= share:
            raise TooMany(
                f"{share:,} takers wait here with the token {by}, which is the most for one token; "
                "do not wait, or give each taker a token of its own"
            )

    async def take_by_address(self, id: str, take: Take) -> Taken | None:
        """Take this one job of the take's source, or get it again by the take's key; None when neither is possible."""
        by_address = self._by_address
        if take.source is not None and self._limits.applies_to(take):
            by_address = self._ruled_of(take.source).by_address
        taken = await by_address((id, take))
        if not taken and take.key is not None:
            taken = (await store.take_again(self._pool, [take.key])).get(take.key, [])
        return taken[0] if taken else None

    def undo(self, taken: Sequence[Taken]) -> None:
        """Undo takes in the background: their taker disconnected before it got its answer."""
        for each in taken:
            task = asyncio.create_task(self._undo_one(each))
            self._undoing.add(task)
            task.add_done_callback(self._undoing.discard)

    async def settle(self) -> None:
        """Return once every take is over, and every undo is done."""
        await self.turns.settle()
        for takes in (self._of_several, self._within_limits, self._chosen_with_key):
            await takes.settle()
        for ruled in self._ruled.values():
            for coalescer in ruled:
                await coalescer.settle()
        while self._undoing:
            await asyncio.wait(self._undoing)

    async def _search(self, take: Take) -> list[Taken]:
        """Take what is ready, and try again while a job may have become ready without waking anybody."""
        while True:
            missed = self._wait_queue.missed
            if taken := await self.take_now(take):
                return taken
            if not await self._announce() and missed == self._wait_queue.missed:
                return []

    async def _sleep(self, waiter: Waiter, until: float, take: Take) -> None:
        if not await self._wait_queue.sleep(waiter, until):
            raise self.no_job(take)

    def no_job(self, take: Take) -> NoJob:
        """The error of a take that found no job."""
        if take.sources:
            return NoJob(f"no job of {listed(take.sources, _MOST_LISTED)} is ready")
        if take.source is None:
            return NoJob("no job is ready")
        of_source = self._limits.of(take.source)
        if of_source.paused:
            return NoJob(_paused(of_source))
        return NoJob(f"no job of {take.source} is ready{_and_limited(of_source)}")

    def no_room(self, take: Take, id: str) -> NoJob:
        """The error of a take of this one job, which is available, but the limits of its source do not let it go."""
        of_source = self._limits.of(take.source or "")
        if of_source.paused:
            return NoJob(f"the job {id} cannot be taken now: {_paused(of_source)}")
        return NoJob(f"the job {id} cannot be taken now: {_limits_in_words(of_source)}")

    async def _undo_one(self, taken: Taken) -> None:
        # Retry for ever: a job whose lease never expires would not come back by itself.
        while True:
            try:
                await self._undos(taken)
            except DatabaseAway:
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _undo_all(self, taken: Sequence[Taken]) -> list[None]:
        undone = await store.undo_takes(self._pool, taken)
        job_log.record(
            "take undone", (JobEvent(each.job.id, each.job.source) for each in taken if each.job.id in undone)
        )
        return [None] * len(taken)


def _paused(of_source: SourceRule) -> str:
    return f"the source {of_source.source} is paused: none of its jobs is handed out"


def _and_limited(of_source: SourceRule) -> str:
    limit, rate = of_source.most_active, of_source.rate
    by_limit = "" if limit is None else f", or {limit} of them are active, which is the limit"
    return by_limit if rate is None else f"{by_limit}, or its rate of {rate:.10g} a second is used up"


def _limits_in_words(of_source: SourceRule) -> str:
    limit = of_source.most_active
    by_limit = [] if limit is None else [f"no more than {limit} jobs of {of_source.source} may be active"]
    by_rate = [] if of_source.rate is None else [of_source.rate_in_words]
    return ", and ".join(by_limit + by_rate)
