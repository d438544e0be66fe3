"""Hears of jobs that become ready, on whichever replica, and tells the line of takers that wait here."""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress

from boss.dispatch.wait_queue import WaitQueue
from boss.errors import DatabaseAway
from boss.postgres import store
from boss.postgres.connection import Connection, listen

log = logging.getLogger("boss")

# How long after the last taker left jobs are still announced to us, in seconds: converters come and go.
_LINGER = 10.0
_RETRY = 0.5


class NotificationListener:
    """One connection that listens, and is made anew when it is lost.

    Args:
        url: the database.
        line: who waits here.
        look: called when something may have been missed, for somebody to look what is ready.
    """

    def __init__(self, url: str, wait_queue: WaitQueue, look: Callable[[], None]) -> None:
        self._url = url
        self._wait_queue = wait_queue
        self._look = look
        self._connection: Connection | None = None
        self._announced = False
        # asyncpg runs one statement at a time on a connection.
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            lost = asyncio.Event()
            try:
                self._connection = await listen(self._url, store.CHANNEL, self._hear, lost.set)
                if self._wait_queue.waiting:
                    await self.start()
                self._look()
                await self._listen_until(lost)
            except DatabaseAway:
                await asyncio.sleep(_RETRY)
            except Exception:
                log.exception("listening for jobs failed; it is tried again")
                await asyncio.sleep(_RETRY)
            finally:
                self._announced = False
                if self._connection:
                    self._connection.terminate()
                self._connection = None

    async def start(self) -> bool:
        """Have arriving jobs announced to this replica, if they are not yet; return whether they were not.

        After True a taker that found nothing has to search again. Without a connection it is False; then maintenance
        finds the jobs.
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
                await asyncio.wait_for(lost.wait(), _LINGER)
            except TimeoutError:
                await self._check()
                if self._announced and not waited and not self._wait_queue.waiting:
                    await self._stop()
                waited = self._wait_queue.waiting > 0
        log.warning("the connection that listens for jobs was lost; it is made anew")

    async def _check(self) -> None:
        """Find out whether the server is still there: when its machine has gone, nobody says so."""
        async with self._turn:
            if self._connection:
                # Should it not answer, the connection is cut off, and so found to be lost.
                with suppress(DatabaseAway):
                    await store.reach(self._connection)

    async def _stop(self) -> None:
        async with self._turn:
            if self._connection and not self._wait_queue.waiting:
                await store.stop_waiting(self._connection)
                self._announced = False

    def _hear(self, payload: str) -> None:
        if payload:
            self._wait_queue.announce(json.loads(payload))
        else:
            self._look()
