"""What commands and their worker leave behind: the commands of a killed worker, and processes that nobody waits for."""

import contextlib
import logging
import os
import signal
from collections.abc import Callable

log = logging.getLogger("boss")

# It reads which process groups there are, and kills those that are left when the other end of its input is closed,
# which the system does when the worker is gone, however that came. prctl's PR_SET_PDEATHSIG would reach a command
# itself, but not what that started, and cannot be combined with posix_spawn. What stops the worker must not stop this.
_GUARD = """
trap '' HUP INT TERM
held=
while read -r what group; do
  case $what in
    began) held="$held -$group" ;;
    ended) left=; for each in $held; do [ "$each" = "-$group" ] || left="$left $each"; done; held=$left ;;
  esac
done
[ -z "$held" ] || kill -s KILL -- $held
"""
_SHELL = "/bin/sh"


class Orphans:
    """Knows the commands that run, by the numbers of their process groups.

    Should this process be killed, they are; and `reap` waits for what they left behind, where that is for us to do.
    """

    def __init__(self) -> None:
        self._ended: dict[int, Callable[[], None]] = {}
        self._guard: int | None = None

    def began(self, group: int, ended: Callable[[], None]) -> None:
        """A command runs; `ended` waits for its process when that has ended."""
        self._ended[group] = ended
        self._tell(f"began {group}\n")

    def ended(self, group: int) -> None:
        """A command has ended; it must be told before it is waited for: until then its number is nobody else's."""
        del self._ended[group]
        self._tell(f"ended {group}\n")

    def reap(self) -> None:
        """Wait for all children that have ended: with process number 1 the system makes every orphan one."""
        with contextlib.suppress(ChildProcessError):
            while child := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if child.si_pid in self._ended:
                    self._ended[child.si_pid]()
                else:
                    os.waitpid(child.si_pid, 0)

    def _tell(self, line: str) -> None:
        if self._guard is not None and _write(self._guard, line):
            return
        self._guard = None
        try:
            self._guard = _start_guard()
        except OSError as error:
            log.warning("should this process be killed, its commands will go on: no guard could be started: %s", error)
        else:
            _write(self._guard, "".join(f"began {group}\n" for group in self._ended))


def _write(guard: int, line: str) -> bool:
    """Whether it is still there; one that stands still hears nothing."""
    try:
        with contextlib.suppress(BlockingIOError):
            os.write(guard, line.encode())
    except BrokenPipeError:
        os.close(guard)
        return False
    return True


def _start_guard() -> int:
    """Start it; return the end of the pipe that it reads."""
    theirs, ours = os.pipe()
    os.set_blocking(ours, False)
    nothing = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate((theirs, nothing, nothing))]
    try:
        os.posix_spawn(
            _SHELL,
            ["sh", "-c", _GUARD],
            dict(os.environ),
            file_actions=actions,
            # So that what is sent to the worker's group or terminal does not reach it.
            setsid=True,
            setsigdef=[signal.SIGPIPE],
        )
    finally:
        os.close(theirs)
        os.close(nothing)
    return ours
