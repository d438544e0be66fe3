"""beanstalkd: python beanstalkd.py PORT CONNECTIONS SECONDS [ONLY]

Each connection sends its next command when it has the answer to the last one. It is a Protocol on uvloop, which is as
lean as Python gets. At the end it prints for how much of the time it was busy itself.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import cast

import uvloop

JOB = b'{"payload":"' + b"x" * 186 + b'"}'
PUT = b"put 0 0 600 %d\r\n%s\r\n" % (len(JOB), JOB)
RESERVE = b"reserve-with-timeout 0\r\n"


class Connection(asyncio.Protocol):
    """One client. `after` says what to send after each answer, and what counts as one operation."""

    def __init__(self, first: bytes, deletes: bool, puts: bool) -> None:
        self.first = first
        self.deletes = deletes
        self.puts = puts
        self.done = 0
        self.running = True
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own transport does not derive from it
        self.transport.write(self.first)

    def data_received(self, data: bytes) -> None:
        self.received += data
        word, end, rest = self.received.partition(b"\r\n")
        if not end:
            return
        if word.startswith(b"RESERVED"):
            _, id, size = word.split(b" ")
            if len(rest) < int(size) + 2:
                return
            following = b"delete %s\r\n" % id
        elif word.startswith(b"INSERTED"):
            self.done += not self.deletes
            following = RESERVE if self.deletes else PUT
        elif word == b"DELETED":
            self.done += 1
            following = PUT if self.puts else RESERVE
        else:  # TIMED_OUT: there is no job
            following = PUT if self.puts else RESERVE
        self.received = b""
        if self.running:
            self.transport.write(following)


async def rate(port: int, count: int, seconds: float, make: Callable[[], Connection]) -> tuple[float, float]:
    loop = asyncio.get_running_loop()
    busy, start = time.process_time(), time.perf_counter()
    connections = [(await loop.create_connection(make, "127.0.0.1", port))[1] for _ in range(count)]
    await asyncio.sleep(seconds)
    took, busy = time.perf_counter() - start, time.process_time() - busy
    for connection in connections:
        connection.running = False
        connection.transport.close()
    return sum(connection.done for connection in connections) / took, busy / took


async def main(port: int, count: int, seconds: float, *only: str) -> None:
    rates = {}
    for name, make in {
        "submit": lambda: Connection(PUT, deletes=False, puts=True),
        "take_and_complete": lambda: Connection(RESERVE, deletes=True, puts=False),
        "cycle": lambda: Connection(PUT, deletes=True, puts=True),
    }.items():
        if only and name not in only:
            continue
        rates[name], busy = await rate(port, count, seconds, make)
        print(f"beanstalkd {name}: the client was at work {busy:.0%} of the time", file=sys.stderr)
    print(json.dumps(rates))


uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), *sys.argv[4:]))
