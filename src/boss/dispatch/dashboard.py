"""The dashboard feed: reads once a second what the dashboards show, for all of them, and never while there are none."""

import asyncio
import logging

from boss.dispatch.queries import Queries
from boss.errors import DatabaseAway
from boss.model.dashboard import View

log = logging.getLogger("boss")

_INTERVAL_S = 1.0
_NOTHING = View({}, [], {}, None, [], [])


class DashboardFeed:
    """Feeds any number of dashboards. A dashboard enters it as a context manager, and then asks for each `next` view.

    Args:
        queries: read what a dashboard shows.
    """

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._view: View | None = None
        self._changed = asyncio.Event()
        self._watchers = 0
        self._refreshing: asyncio.Task[None] | None = None
        self._closed = False

    def __enter__(self) -> "DashboardFeed":
        self._watchers += 1
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh_forever())
        return self

    def __exit__(self, *_: object) -> None:
        self._watchers -= 1
        if not self._watchers and self._refreshing:
            self._refreshing.cancel()
            self._refreshing = self._view = None

    async def next(self, seen: View | None) -> View | None:
        """The current view, as soon as it differs from the one `seen`; None once the feed is closed."""
        while not self._closed:
            if self._view is not None and self._view is not seen:
                return self._view
            await self._changed.wait()
        return None

    def close(self) -> None:
        """End the feed for every dashboard, now and from now on."""
        self._closed = True
        self._changed.set()

    async def _refresh_forever(self) -> None:
        while True:
            view: View | None
            try:
                view = await self._queries.view()
            except DatabaseAway:
                view = (self._view or _NOTHING)._replace(away=True)
            except Exception:
                log.exception("reading for the dashboard failed; trying again")
                view = self._view
            if view is not None and view != self._view:
                self._view = view
                changed, self._changed = self._changed, asyncio.Event()
                changed.set()
            await asyncio.sleep(_INTERVAL_S)
