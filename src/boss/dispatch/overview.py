"""The overview: how each source stands, read from the database no more often than it is worth."""

import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from boss.dispatch.source_limits import SourceLimits
from boss.model.attention import Attention
from boss.model.converter import KnownConverter
from boss.model.job import State
from boss.model.overview import SourceView, overview
from boss.postgres import store
from boss.postgres.connection import Pool

_T = TypeVar("_T")
# How many failed jobs a view of the dashboard has at most.
MOST_FAILED = 50
# What took a while is read again only after so many times as long: each read then costs at most 1 % of a core.
_REST = 100
# How often the rest is read, in seconds, if it takes little.
_SURVEY_INTERVAL_S, _RECENT_INTERVAL_S, _ASKED_INTERVAL_S, _SLOW_INTERVAL_S = 1.0, 2.0, 2.0, 5.0


class Paced(Generic[_T]):
    """A value that is read again when it is asked for, but not too often.

    Args:
        read: reads it.
        interval: the least time between two reads, in seconds.
    """

    def __init__(self, read: Callable[[], Awaitable[_T]], interval: float) -> None:
        self._read = read
        self._interval = interval
        self._value: _T | None = None
        self._due = 0.0

    async def __call__(self) -> _T:
        """The value as it was read last."""
        if self._value is None or time.monotonic() >= self._due:
            return await self.fresh()
        return self._value

    async def fresh(self) -> _T:
        """The value as it is now."""
        started = time.monotonic()
        self._value = value = await self._read()
        # A little less than the interval, for who asks once in it.
        self._due = started + max(0.9 * self._interval, _REST * (time.monotonic() - started))
        return value


class Overview:
    """Reads how each source stands.

    Args:
        pool: the connection pool.
        limits: the rules of sources.
    """

    def __init__(self, pool: Pool, limits: SourceLimits) -> None:
        self._pool = pool
        self._limits = limits
        self.lately = Paced(lambda: store.recent(pool), _RECENT_INTERVAL_S)
        self.converters = Paced[list[KnownConverter]](lambda: store.converters(pool, None), _SLOW_INTERVAL_S)
        self._survey = Paced(lambda: store.survey(pool), _SURVEY_INTERVAL_S)
        self._asked = Paced(lambda: store.asked(pool), _ASKED_INTERVAL_S)

    async def sources(self, counts: dict[tuple[str, State], int]) -> dict[str, SourceView]:
        """How each source stands that has jobs, had some, or has a rule; for the dashboard, each second."""
        return overview(counts, self._limits.rules, await self._survey(), await self.lately(), await self._asked())

    async def attention(self) -> dict[str, tuple[Attention, ...]]:
        """The sources that need attention now, with the reasons."""
        counts, survey = await store.count(self._pool), await self._survey.fresh()
        lately, asked = await self.lately.fresh(), await self._asked.fresh()
        sources = overview(counts, self._limits.rules, survey, lately, asked)
        return {source: view.attention for source, view in sources.items() if view.attention}
