"""The end of what takes too long: bodies that come slowly, and requests that the database keeps waiting."""

import asyncio
from collections.abc import Callable
from types import TracebackType

from boss.errors import BossError

# How often deadlines are checked, in seconds, and so how late one may be noticed.
_INTERVAL_S = 0.5


class Deadlines:
    """One shared timer for all deadlines: one for each would cost a request more than all else that it does here."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._until: dict[Deadline, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def put(self, deadline: "Deadline", seconds: float) -> None:
        """Restart the deadline with this many seconds."""
        self._until[deadline] = self.loop.time() + seconds
        if self._timer is None:
            self._timer = self.loop.call_later(_INTERVAL_S, self._look)

    def remove(self, deadline: "Deadline") -> None:
        """It is met, or does not count for now."""
        self._until.pop(deadline, None)

    def _look(self) -> None:
        now = self.loop.time()
        for deadline in [deadline for deadline, until in self._until.items() if until < now]:
            # Again each time, for a cancellation can get lost on its way (background.py).
            deadline.cancel()
        self._timer = self.loop.call_later(_INTERVAL_S, self._look) if self._until else None


class Deadline:
    """`with Deadline(deadlines, seconds, late):` cancels what the task does in the block once its time is over.

    Raises:
        BossError: the one that `late` gives, when it was.
    """

    __slots__ = ("_cancels", "_deadlines", "_late", "_seconds", "_task")

    def __init__(self, deadlines: Deadlines, seconds: float, late: Callable[[], BossError]) -> None:
        self._deadlines = deadlines
        self._seconds = seconds
        self._late = late
        self._cancels = 0
        task = asyncio.current_task(deadlines.loop)
        assert task
        self._task = task

    def __enter__(self) -> "Deadline":
        self._deadlines.put(self, self._seconds)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._deadlines.remove(self)
        if self._cancels:
            cancels = 0
            for _again in range(self._cancels):
                cancels = self._task.uncancel()
            # Somebody else may have cancelled it, too: a client that hangs up.
            if kind is asyncio.CancelledError and not cancels:
                raise self._late() from None

    def pause(self) -> None:
        """It does not count until it is set anew."""
        self._deadlines.remove(self)

    def restart(self, more: float = 0) -> None:
        """All of its seconds from now on, and so many more."""
        self._deadlines.put(self, self._seconds + more)

    def cancel(self) -> None:
        """Its time is over."""
        self._cancels += 1
        self._task.cancel()
