"""Bodies that are being read, and the end of those that come too slowly."""

import asyncio
from types import TracebackType

from boss.errors import TooSlow


class Bodies:
    """Looks now and then at what is being read: a timer for each would cost more than all else that reading does.

    Args:
        seconds: how long a body may take to come; it is ended by a second later at most.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._interval = min(1.0, seconds / 2)
        self._loop = asyncio.get_running_loop()
        self._since: dict[Reading, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, reading: "Reading") -> None:
        """Somebody begins to read."""
        self._since[reading] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval, self._look)

    def remove(self, reading: "Reading") -> None:
        """They have read it."""
        del self._since[reading]

    def _look(self) -> None:
        late = self._loop.time() - self.seconds
        for reading in [reading for reading, since in self._since.items() if since < late]:
            reading.end()
        self._timer = self._loop.call_later(self._interval, self._look) if self._since else None


class Reading:
    """`with Reading(bodies, what):` around reading a body.

    Raises:
        TooSlow: it did not come in time; `what` is what the sentence calls it.
    """

    __slots__ = ("_bodies", "_ended", "_task", "_what")

    def __init__(self, bodies: Bodies, what: str) -> None:
        self._bodies = bodies
        self._what = what
        self._ended = False
        task = asyncio.current_task()
        assert task
        self._task = task

    def __enter__(self) -> None:
        self._bodies.add(self)

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._bodies.remove(self)
        if self._ended and kind is asyncio.CancelledError and not self._task.uncancel():
            raise TooSlow(f"{self._what} was not there after {self._bodies.seconds:g} s; send it at once") from None

    def end(self) -> None:
        """It has taken too long."""
        if not self._ended:
            self._ended = True
            self._task.cancel()
