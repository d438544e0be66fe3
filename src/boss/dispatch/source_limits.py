"""The rules of sources as one replica knows them. They are loaded twice a second, so that no request reads them."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

from boss.errors import DatabaseAway
from boss.model.job import State, Take
from boss.model.source_rule import SourceRule
from boss.postgres import store
from boss.postgres.connection import Pool

log = logging.getLogger("boss")

# How often the limits are loaded, and so the longest time until a replica applies a new one.
_INTERVAL_S = 0.5
# How often jobs are counted while no limit needs it: counting takes longer the more sources there are.
_COUNT_INTERVAL_S = 2.0


class SourceLimits:
    """Knows which takes the limits apply to, and how many ready jobs they allow.

    Args:
        pool: the connection pool.
        max_queue: the most available jobs of a source.
        on_changed: called when the limits have changed, so that more jobs may be handed out.

    Attributes:
        none: whether no source has a limit, so that takes need not check.
        rates: how many jobs may be taken in a second, of those sources that have a rate.
        leases: the leases in seconds of those sources that have their own. It stays the same mapping, so that takes
            can look into it without a call.
        keeps: for how many days done jobs are kept, of those sources that have their own time. It stays the same
            mapping, too.
    """

    def __init__(self, pool: Pool, max_queue: int, on_changed: Callable[[], None]) -> None:
        self._pool = pool
        self._max_queue = max_queue
        self._on_changed = on_changed
        self._rules: dict[str, SourceRule] = {}
        # The rules of those sources whose takes they hold back. Defaults alone cost a take nothing.
        self._limits: dict[str, SourceRule] = {}
        self.none = True
        self.rates: dict[str, float] = {}
        self.keeps: dict[str, float] = {}
        self.leases: dict[str, int] = {}
        # The active jobs of the sources that may have only so many.
        self._active: dict[str, int] = {}
        self._full: set[str] = set()
        self._counted = 0.0
        self._loading = asyncio.Lock()

    async def load(self) -> None:
        """Load the limits, and now and then count how many more jobs they allow.

        One at a time: an earlier load that ended later would bring back a rule that was changed meanwhile.
        """
        async with self._loading:
            await self._load()

    async def _load(self) -> None:
        self._rules = rules = await store.source_rules(self._pool)
        limits = {source: rule for source, rule in rules.items() if rule.limits_takes}
        changed, self._limits, self.none = limits != self._limits, limits, not limits
        self.rates = {source: rule.rate for source, rule in limits.items() if rule.rate is not None}
        self.keeps.clear()
        self.keeps.update({source: rule.keep_done for source, rule in rules.items() if rule.keep_done is not None})
        self.leases.clear()
        self.leases.update({source: rule.lease for source, rule in rules.items() if rule.lease is not None})
        is_limited = any(limit.most_active is not None for limit in limits.values())
        if not is_limited:
            self._active = {}
        if is_limited or time.monotonic() - self._counted > _COUNT_INTERVAL_S:
            await self._count(limits)
        if changed:
            self._on_changed()

    async def _count(self, limits: Mapping[str, SourceRule]) -> None:
        counts = await store.count(self._pool)
        self._counted = time.monotonic()
        self._active = {
            limit.source: counts.get((limit.source, State.ACTIVE), 0)
            for limit in limits.values()
            if limit.most_active is not None
        }
        self._full = {
            source for (source, state), jobs in counts.items() if state is State.AVAILABLE and jobs >= self._max_queue
        }

    async def load_forever(self) -> NoReturn:
        """Load the limits twice a second, until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL_S)
            try:
                await self.load()
            except DatabaseAway:
                pass  # no job can be handed out either
            except Exception:
                log.exception("loading the source limits failed; trying again")

    def applies_to(self, take: Take) -> bool:
        """Whether the limits may change what this take gets; they also count active jobs for a fair take."""
        if take.fair:
            return True
        sources = take.of()
        return bool(self._limits) if sources is None else any(source in self._limits for source in sources)

    def of(self, source: str) -> SourceRule:
        """The rule of this source."""
        return self._rules.get(source) or SourceRule(source)

    @property
    def rules(self) -> Mapping[str, SourceRule]:
        """The rules of the sources that have one."""
        return self._rules

    def delays(self, sources: Iterable[str]) -> dict[str, tuple[float, ...]]:
        """The delays between attempts of those of these sources that have their own."""
        if not self._rules:
            return {}
        return {source: delays for source in sources if (delays := self.of(source).delays) is not None}

    def is_limited(self, source: str) -> bool:
        """Whether a finished job of this source makes room for another one."""
        limit = self._limits.get(source)
        return limit is not None and limit.most_active is not None and not limit.paused

    def is_full(self, source: str) -> bool:
        """Whether this source had as many available jobs as it may have when they were last counted."""
        return source in self._full

    def ready(self, ready: Mapping[str, int]) -> dict[str, int]:
        """How many of these ready jobs the limits allow to be handed out within a second, by source."""
        return {
            source: self.of(source).takeable(jobs, self._active.get(source, 0))
            for source, jobs in ready.items()
            if not self.of(source).paused
        }
