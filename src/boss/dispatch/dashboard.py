"""What is going on, looked at once a second for all who watch, and not at all while nobody does."""

import asyncio
import logging
from typing import NamedTuple

from boss.errors import DatabaseAway
from boss.model.job import State
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.postgres.store import Active, Failed, Hour

log = logging.getLogger("boss")

# How often it is looked at, in seconds.
_INTERVAL = 1.0
# How many active and failed jobs, and how many sources' last hours, are shown.
_MOST_JOBS = 50
_MOST_HOURS = 201


class View(NamedTuple):
    """What is going on at one moment.

    Attributes:
        counts: how many jobs there are of each source and state.
        active: those that have been active for longest.
        failed: those that failed last.
        hour: what the busiest sources did in each minute of the last hour.
        away: whether the database was away, and the rest is what was seen before.
    """

    counts: dict[tuple[str, State], int]
    active: list[Active]
    failed: list[Failed]
    hour: list[Hour]
    away: bool = False


_NOTHING = View({}, [], [], [])


class DashboardFeed:
    """Shows what is going on to any number of watchers.

    Args:
        pool: the database.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._view: View | None = None
        self._changed = asyncio.Event()
        self._watchers = 0
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    def __enter__(self) -> "DashboardFeed":
        self._watchers += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_forever())
        return self

    def __exit__(self, *_: object) -> None:
        self._watchers -= 1
        if not self._watchers and self._looking:
            self._looking.cancel()
            self._looking = self._view = None

    async def next(self, seen: View | None) -> View | None:
        """What is going on, once it is something else than what was seen; None when there is nothing more to see."""
        while not self._closed:
            if self._view is not None and self._view is not seen:
                return self._view
            await self._changed.wait()
        return None

    def close(self) -> None:
        """Send every watcher away, now and from now on."""
        self._closed = True
        self._changed.set()

    async def _look_forever(self) -> None:
        while True:
            view: View | None
            try:
                view = await self._look()
            except DatabaseAway:
                view = (self._view or _NOTHING)._replace(away=True)
            except Exception:
                log.exception("looking for the page failed; it is tried again")
                view = self._view
            if view is not None and view != self._view:
                self._view = view
                changed, self._changed = self._changed, asyncio.Event()
                changed.set()
            await asyncio.sleep(_INTERVAL)

    async def _look(self) -> View:
        return View(
            await store.count(self._pool),
            await store.active(self._pool, _MOST_JOBS),
            await store.failed(self._pool, _MOST_JOBS),
            await store.hour(self._pool, _MOST_HOURS),
        )
