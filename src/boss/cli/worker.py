"""One of several worker processes, `python -m boss.cli.worker`. Its parent (http/workers.py) sends it its settings."""

import asyncio
import logging
import os
import pickle
import signal
import sys
from typing import NoReturn

from boss.errors import StartError
from boss.main import run_process
from boss.settings import Settings
from boss.telemetry.logging import configure

log = logging.getLogger("boss")

# The interval of a worker's heartbeat. It is a line on standard output, and the first one says that it serves.
_BEAT_S = 2.0


def main() -> None:
    """Read the settings from standard input, and serve until a signal comes or the parent has ended."""
    settings = read_settings()
    configure(settings.quiet)
    try:
        run_process(settings, beat_forever(), end_with_parent())
    except StartError as error:
        log.error("%s", error)
        sys.exit(1)


def read_settings() -> Settings:
    """The settings from the parent."""
    length = int.from_bytes(sys.stdin.buffer.read(8), "big")
    settings: Settings = pickle.loads(sys.stdin.buffer.read(length))  # noqa: S301  it comes from our parent
    return settings


async def beat_forever() -> NoReturn:
    """Send this worker's heartbeat to the parent until cancelled."""
    while True:
        os.write(sys.stdout.fileno(), b"serving\n")
        await asyncio.sleep(_BEAT_S)


async def end_with_parent() -> None:
    """Stop as by SIGTERM when the parent has ended, even by SIGKILL: that closes its end of our standard input."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    log.error("the parent of this worker has ended; it stops, too")
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
