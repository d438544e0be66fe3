"""The rules of sources as one replica knows them, asked for twice a second, so that no take has to."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import NoReturn

from boss.errors import DatabaseAway
from boss.model.job import SourceLimit, State, Take
from boss.postgres import store
from boss.postgres.connection import Pool

log = logging.getLogger("boss")

# How often the rules are asked for, in seconds, and so how late a replica may hear of a new one.
_INTERVAL = 0.5
# How often the jobs are counted, which takes longer the more sources there are, while no rule needs it, in seconds.
_COUNT_INTERVAL = 2.0


class SourceLimits:
    """Which takes have to look at the rules, and what is ready by them.

    Args:
        pool: the database.
        max_queue: how many available jobs of a source are the most.
        changed: called when jobs may be handed out that could not before.

    Attributes:
        none: whether there are none, so that takes need not ask what they are held to.
    """

    def __init__(self, pool: Pool, max_queue: int, changed: Callable[[], None]) -> None:
        self._pool = pool
        self._max_queue = max_queue
        self._changed = changed
        self._rules: dict[str, SourceLimit] = {}
        self.none = True
        self._room: dict[str, int] = {}
        self._full: set[str] = set()
        self._counted = 0.0

    async def load(self) -> None:
        """Ask for the rules, and now and then how many more jobs they allow."""
        rules = await store.rules(self._pool)
        changed, self._rules, self.none = rules != self._rules, rules, not rules
        is_limited = any(rule.limit is not None for rule in rules.values())
        if not is_limited:
            self._room = {}
        if is_limited or time.monotonic() - self._counted > _COUNT_INTERVAL:
            await self._count(rules)
        if changed:
            self._changed()

    async def _count(self, rules: Mapping[str, SourceLimit]) -> None:
        counts = await store.count(self._pool)
        self._counted = time.monotonic()
        self._room = {
            rule.source: rule.limit - counts.get((rule.source, State.ACTIVE), 0)
            for rule in rules.values()
            if rule.limit is not None
        }
        self._full = {
            source for (source, state), jobs in counts.items() if state is State.AVAILABLE and jobs >= self._max_queue
        }

    async def load_forever(self) -> NoReturn:
        """Ask for them twice a second, until cancelled."""
        while True:
            await asyncio.sleep(_INTERVAL)
            try:
                await self.load()
            except DatabaseAway:
                pass  # nothing is handed out without it either
            except Exception:
                log.exception("asking for the rules of sources failed; it is tried again")

    def applies_to(self, take: Take) -> bool:
        """Whether this take has to go by the rules, for they may change what it gets."""
        if take.fair:
            return True
        sources = take.of()
        return bool(self._rules) if sources is None else any(source in self._rules for source in sources)

    def rule(self, source: str) -> SourceLimit:
        """What this source is held to."""
        return self._rules.get(source) or SourceLimit(source)

    def is_limited(self, source: str) -> bool:
        """Whether a job of this source that is finished makes room for another one."""
        rule = self._rules.get(source)
        return rule is not None and rule.limit is not None and not rule.paused

    def is_full(self, source: str) -> bool:
        """Whether as many jobs of this source are available as may be, a moment ago."""
        return source in self._full

    def ready(self, ready: Mapping[str, int]) -> dict[str, int]:
        """How many of these ready jobs, by source, can be handed out."""
        return {
            source: min(jobs, self._room.get(source, jobs))
            for source, jobs in ready.items()
            if not self.rule(source).paused
        }
