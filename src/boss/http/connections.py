"""All connections of a server: their limit, their time-outs, and how they are closed."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate

from boss.errors import Overloaded
from boss.http import problems
from boss.http.budget import Budget
from boss.http.connection import Connection
from boss.http.phase import Phase
from boss.http.request import Request
from boss.http.response import Response
from boss.model.permissions import Principal
from boss.settings import Settings

# How often time-outs are checked. One timer serves all connections: a timer each would cost a request more than its
# parsing.
_CHECK_INTERVAL_S = 0.5
# This many connections above the limit get a 503. Further ones are closed without a response.
_MOST_REFUSED = 1000
_NEVER = float("inf")


class Connections:
    """All open connections.

    Args:
        respond: answers a request; it never raises.
        is_valid: whether a principal's token is still valid.
        settings: the limits.

    Attributes:
        date: the line of the Date header, as of now.
        idle: connections that wait for a request or for the rest of its head; the one that waits longest comes first.
        busy: how many connections serve a request.
        is_draining: whether each connection closes after its next response.
    """

    def __init__(
        self,
        respond: Callable[[Request], Awaitable[Response]],
        is_valid: Callable[[Principal], bool],
        settings: Settings,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.respond = respond
        self.is_valid = is_valid
        self.settings = settings
        self.budget = Budget(settings.max_memory)
        self.date = _date()
        self.is_draining = False
        self._all: set[Connection] = set()
        self.idle: dict[Connection, None] = {}
        self.busy = 0
        # Connections whose client reads slowly. The one whose last progress is oldest comes first.
        self._slow: dict[Connection, None] = {}
        self._settled = asyncio.Event()
        self._checked = asyncio.Event()
        self._timer = self.loop.call_later(_CHECK_INTERVAL_S, self._check)

    def add(self, connection: Connection) -> None:
        """Add a connection that was just accepted; with TLS its handshake begins now."""
        has_room = len(self._all) < self.settings.max_connections or self._make_room()
        self._all.add(connection)
        if not has_room:
            self._turn_away(connection)
        else:
            self.idle[connection] = None

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest; return False when none is idle."""
        for connection in self.idle:
            self.remove(connection)
            connection.abort()
            return True
        return False

    def _turn_away(self, connection: Connection) -> None:
        if connection.phase is Phase.HANDSHAKE or len(self._all) > self.settings.max_connections + _MOST_REFUSED:
            connection.abort()
            return
        most = f"{self.settings.max_connections:,}"
        connection.refuse(problems.to_response(Overloaded(f"all {most} connections are at work; try again")))

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is over."""
        self._all.discard(connection)
        self.idle.pop(connection, None)
        self._slow.pop(connection, None)

    def finish(self, connection: Connection) -> None:
        """The connection has served a request."""
        self.busy -= 1
        if connection in self._all:
            self.idle[connection] = None
        if not self.busy:
            self._settled.set()

    def slow(self, connection: Connection) -> None:
        """The connection's client reads slowly, and has just made progress.

        While the memory budget is exceeded, the slowest connections are closed.
        """
        self._slow.pop(connection, None)
        self._slow[connection] = None
        while self.budget.is_exceeded and self._slow:
            slowest = next(iter(self._slow))
            del self._slow[slowest]
            slowest.abort()

    def drain(self) -> None:
        """Close each connection after its next response from now on."""
        self.is_draining = True

    def keeps_up(self, connection: Connection) -> None:
        """The connection's client has read what was written."""
        self._slow.pop(connection, None)

    async def settle(self) -> None:
        """Return once no request is under way."""
        while self.busy:
            self._settled.clear()
            await self._settled.wait()

    async def close(self, seconds: float) -> bool:
        """Close all connections once their clients have read what was written, or after so many seconds.

        Returns whether all clients have read everything.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._is_writing():
                    self._checked.clear()
                    await self._checked.wait()
        self._timer.cancel()
        all_read = not self._is_writing()
        for connection in list(self._all):
            connection.close_idle()
            connection.abort()
        return all_read

    def _is_writing(self) -> bool:
        return any(connection.is_writing for connection in self._all)

    def _check(self) -> None:
        self._timer = self.loop.call_later(_CHECK_INTERVAL_S, self._check)
        self.date = _date()
        now = self.loop.time()
        for connection in [each for each in self._all if each.deadline < now or each.unread_until < _NEVER]:
            connection.check_time(now)
        self._checked.set()


def _date() -> bytes:
    """RFC 9110, 6.6.1."""
    return b"date: %b\r\n" % formatdate(time.time(), usegmt=True).encode()
