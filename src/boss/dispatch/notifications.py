"""The notification listener: hears of jobs that become ready or done on any replica, and tells those who wait here."""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress

from boss.dispatch.wait_queue import WaitQueue
from boss.errors import DatabaseAway
from boss.postgres import store
from boss.postgres.connection import Connection
from boss.postgres.listening import listen

log = logging.getLogger("boss")

# How long jobs are still announced to this replica after its last taker left: converters come and go.
_LINGER_S = 10.0
_RETRY_S = 0.5


class NotificationListener:
    """One connection that listens for notifications; it reconnects when the connection is lost.

    Args:
        url: the database's URL.
        wait_queue: the takers that wait on this replica.
        on_ended: called with the id of each job that is done, if somebody waits for that on any replica.
        on_missed: called when maintenance has to be done: an announcement may have been missed, or jobs have ended that
            others come after.
    """

    def __init__(
        self, url: str, wait_queue: WaitQueue, on_ended: Callable[[str], None], on_missed: Callable[[], None]
    ) -> None:
        self._url = url
        self._wait_queue = wait_queue
        self._hear = {
            store.CHANNEL: self._hear_ready,
            store.ENDED_CHANNEL: on_ended,
            store.DEPENDENTS_CHANNEL: lambda _: on_missed(),
        }
        self._on_missed = on_missed
        self._connection: Connection | None = None
        self._announced = False
        # asyncpg runs one statement at a time on a connection.
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            lost = asyncio.Event()
            try:
                self._connection = await listen(self._url, self._hear, lost.set)
                if self._wait_queue.waiting:
                    await self.start()
                self._on_missed()
                await self._listen_until(lost)
            except DatabaseAway:
                await asyncio.sleep(_RETRY_S)
            except Exception:
                log.exception("listening for jobs failed; trying again")
                await asyncio.sleep(_RETRY_S)
            finally:
                self._announced = False
                if self._connection:
                    self._connection.terminate()
                self._connection = None

    async def start(self) -> bool:
        """Ask for announcements of arriving jobs, unless they are announced already; return whether it has just begun.

        After True, a taker that found nothing has to search again. Without a connection it returns False; then
        maintenance finds the jobs.
        """
        async with self._turn:
            if self._announced or self._connection is None:
                return False
            try:
                await store.start_waiting(self._connection)
            except DatabaseAway:
                return False
            self._announced = True
            return True

    async def _listen_until(self, lost: asyncio.Event) -> None:
        waited = True
        while not lost.is_set():
            try:
                await asyncio.wait_for(lost.wait(), _LINGER_S)
            except TimeoutError:
                await self._check()
                if self._announced and not waited and not self._wait_queue.waiting:
                    await self._stop()
                waited = self._wait_queue.waiting > 0
        log.warning("the connection that listens for jobs was lost; reconnecting")

    async def _check(self) -> None:
        """Check that the server still answers: when its machine is gone, nothing else tells."""
        async with self._turn:
            if self._connection:
                # Without an answer the connection is aborted, and so `lost` is set.
                with suppress(DatabaseAway):
                    await store.reach(self._connection)

    async def _stop(self) -> None:
        async with self._turn:
            if self._connection and not self._wait_queue.waiting:
                await store.stop_waiting(self._connection)
                self._announced = False

    def _hear_ready(self, payload: str) -> None:
        if payload:
            self._wait_queue.announce(json.loads(payload))
        else:
            self._on_missed()
