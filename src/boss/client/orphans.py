"""Clean up orphans: the commands of a killed converter, and processes that commands left behind."""

import contextlib
import logging
import os
import signal
import tempfile
from collections.abc import Callable

log = logging.getLogger("boss")

# The guard, a shell process. It waits until the other end of its input is closed: the system does that when the
# converter is gone, even by SIGKILL. Then it kills the process groups in the table. prctl's PR_SET_PDEATHSIG would
# reach a command itself but not the processes it started, and cannot be combined with posix_spawn. The guard ignores
# signals, because those that stop the converter must not stop the guard.
_GUARD = """
trap '' HUP INT TERM
read -r _
while read -r group; do
  [ "$group" = 0 ] || kill -s KILL -- "-$group"
done <&3
"""
_SHELL = "/bin/sh"
# A line of the table: the number of a process group, or 0.
_LINE = "%10d\n"


class Orphans:
    """The running commands, by the numbers of their process groups.

    When this process is killed, a guard kills them. `reap` waits for the processes that commands left behind, when they
    have become children of this process.
    """

    def __init__(self) -> None:
        self._ended: dict[int, Callable[[], None]] = {}
        self._guard: int | None = None
        # Writing a line costs two microseconds. The guard reads the lines only at the end.
        self._table = _open_table()
        self._lines: dict[int, int] = {}
        self._free: list[int] = []

    def began(self, group: int, ended: Callable[[], None]) -> None:
        """Add a command that runs; `ended` is called to wait for its process once that has ended."""
        self._ended[group] = ended
        line = self._free.pop() if self._free else len(self._lines)
        self._lines[group] = line
        self._write(line, group)
        if self._guard is None:
            self._start_guard()

    def ended(self, group: int) -> None:
        """Remove a command that has ended. Call this before its process is waited for, which frees its number."""
        del self._ended[group]
        line = self._lines.pop(group)
        self._write(line, 0)
        self._free.append(line)

    def reap(self) -> None:
        """Wait for all children that have ended. To process 1 the system gives every orphan as a child."""
        with contextlib.suppress(ChildProcessError):
            while child := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if child.si_pid in self._ended:
                    self._ended[child.si_pid]()
                    continue
                os.waitpid(child.si_pid, 0)
                if child.si_pid == self._guard:  # the guard was killed
                    self._start_guard()

    def _write(self, line: int, group: int) -> None:
        text = (_LINE % group).encode()
        os.pwrite(self._table, text, line * len(text))

    def _start_guard(self) -> None:
        try:
            self._guard = _spawn_guard(self._table)
        except OSError as error:
            self._guard = None
            log.warning("no guard could be started, so commands will go on if this process is killed: %s", error)


def _open_table() -> int:
    """A file without a name, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("commands")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _spawn_guard(table: int) -> int:
    """Start the guard of a table; return its process number. Our end of its input stays open as long as we live."""
    theirs, _ = os.pipe()
    nothing = os.open(os.devnull, os.O_RDWR)
    # The guard gets a file description of its own, so that it reads the table from the start.
    lines = os.open(f"/dev/fd/{table}", os.O_RDONLY)
    try:
        return os.posix_spawn(
            _SHELL,
            ["sh", "-c", _GUARD],
            dict(os.environ),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, end, number) for number, end in enumerate((theirs, nothing, nothing, lines))
            ],
            # A session of its own, so that signals to the converter's group or terminal do not reach it.
            setsid=True,
            setsigdef=[signal.SIGPIPE],
        )
    finally:
        for end in (theirs, nothing, lines):
            os.close(end)
