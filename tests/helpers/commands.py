"""The command `boss` as a process: its output, or what it shows on a terminal."""

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

from tests.helpers.servers import PATIENCE
from tests.helpers.workers import hear_every_signal

PROGRAM = Path(sys.executable).with_name("boss")


class Boss:
    """The command, with BOSS_URL set."""

    def __init__(self, url: str) -> None:
        self.environment = {**os.environ, "BOSS_URL": url, "COLUMNS": "200"}

    def __call__(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *words], input=stdin, capture_output=True, text=True, timeout=PATIENCE, env=self.environment
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [PROGRAM, *words], stderr=subprocess.PIPE, text=True, env=self.environment, preexec_fn=hear_every_signal
        )


class Terminal:
    """A terminal in which a command runs, with the text that it has shown, without escape sequences."""

    def __init__(self, boss: Boss, *words: str, columns: int = 120) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            [PROGRAM, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**boss.environment, "TERM": "xterm", "COLUMNS": str(columns)},
            preexec_fn=hear_every_signal,
        )
        os.close(theirs)

    def until(self, words: str) -> str:
        """Wait until the terminal has shown these words; return all that it has shown."""
        shown = ""
        # A character may arrive in two parts.
        decoder = codecs.getincrementaldecoder("utf-8")()
        while words not in shown:
            ready, _, _ = select.select([self._ours], [], [], PATIENCE)
            if not ready:
                self.process.kill()
                self.process.wait(PATIENCE)
                raise AssertionError(f"it did not show {words!r}:\n{shown}")
            shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown + decoder.decode(os.read(self._ours, 1 << 16)))
        return shown

    def end(self) -> int:
        """Press Ctrl-C; return the command's exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.ended()

    def ended(self) -> int:
        """Wait until the command has ended; return its exit code."""
        with contextlib.suppress(OSError):  # the command has closed the terminal
            while os.read(self._ours, 1 << 16):
                pass
        os.close(self._ours)
        return self.process.wait(PATIENCE)
