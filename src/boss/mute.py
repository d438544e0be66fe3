"""Ends connections on which nobody has ever said anything.

Granian waits for the first bytes of a connection, to see whether it is HTTP/1 or 2, for as long as it takes; its
time-out for headers starts with the first of them. Whoever opens connections and says nothing could have all there are.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_ISSOCK
from typing import NoReturn

_OPEN_FILES = Path("/proc/self/fd")
# So many are looked at before requests have their turn again.
_AT_ONCE = 100
# Where in Linux's struct tcp_info stands what we look at (linux/tcp.h), and how much of it that takes.
_LAST_RECEIVED, _BYTES_RECEIVED, _LENGTH = 52, 128, 136


async def end_mute_forever(port: int, seconds: float) -> NoReturn:
    """Until cancelled, end the connections to this port that have been silent for so long since they were made."""
    while True:
        await asyncio.sleep(seconds / 2)
        for number, open_file in enumerate(_open_files()):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            # It may be closed, and be another one, at any moment; so all is asked of a copy.
            with suppress(OSError):
                copy = os.dup(open_file)
                try:
                    _end_if_mute(copy, port, seconds)
                finally:
                    os.close(copy)


def _open_files() -> Iterator[int]:
    # There is no such folder but on Linux, and then nothing is ended.
    with suppress(FileNotFoundError):
        yield from (int(entry) for entry in os.listdir(_OPEN_FILES))


def _end_if_mute(open_file: int, port: int, seconds: float) -> None:
    if not S_ISSOCK(os.fstat(open_file).st_mode):
        return
    connection = socket.socket(fileno=open_file)
    try:
        if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.getsockname()[1] != port:
            return
        facts = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LENGTH)
        [silent] = struct.unpack_from("I", facts, _LAST_RECEIVED)
        [received] = struct.unpack_from("Q", facts, _BYTES_RECEIVED)
        if received == 0 and silent > seconds * 1000:
            connection.shutdown(socket.SHUT_RDWR)
    finally:
        connection.detach()
