"""Requests that are mutated at random, over many connections: no 500, no crash, no leak, and none counted twice.

It runs for five seconds, or for FUZZ_SECONDS; `make fuzz` runs it for ten minutes. FUZZ_SEED repeats what failed.
"""

import contextlib
import os
import random
import re
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.wire import Wire

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("FUZZ_SECONDS", "5"))
SEED = int(os.environ.get("FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
CLIENTS = 8
_MOST_WAITS = 3
MIB = 1024 * 1024
HEAD = b"Host: localhost\r\nUser-Agent: fuzz\r\nAccept: */*\r\n"
STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) ")
# What the parser looks for.
WORDS = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b"\x00",
        b"\xff",
        b"0",
        b"-1",
        b"%00",
        b"?",
        b"#",
        b";",
        b",",
        b"chunked",
    ),
    *(b"HTTP/1.0", b"HTTP/2.0", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Upgrade: h2c\r\n"),
    *(b"Connection: close\r\n", b"Connection: Upgrade\r\n", b"Expect: 100-continue\r\n", b"0\r\n\r\n", b"\r\n\r\n"),
    *(b"GET ", b"CONNECT ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"99999999999999999999", b"ffffffffffffffff\r\n"),
]


def requests(random: random.Random, id: str) -> list[bytes]:
    """Good ones: a submit of this id by length and by chunks, and others."""
    path = b"/job/available/fuzz/" + id.encode()
    size = random.choice((0, 1, 100, 5000))
    body = b'{"a":"%b"}' % (b"x" * size)
    cut = random.randrange(len(body))
    chunks = b"".join(b"%x;e=f\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAE\r\n"
    post = b"POST " + path + b" HTTP/1.1\r\n" + HEAD + random.choice((b"", upgrade, b"Expect: 100-continue\r\n"))
    return [
        post + b"Content-Length: %d\r\n\r\n" % len(body) + body,
        post + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nTrailer: x\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"HEAD /jobs/" + id.encode() + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET /job/available/none?wait=1 HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET /jobs?limit=3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ]


def mutated(random: random.Random, data: bytes, other: bytes) -> bytes:
    """The same with one thing wrong: a bit, a cut, a repetition, a splice, or a word."""
    place, end = sorted(random.randrange(len(data) + 1) for _ in "12")
    how = random.randrange(7)
    if how == 0 and place < len(data):
        return data[:place] + bytes([data[place] ^ 1 << random.randrange(8)]) + data[place + 1 :]
    if how == 1:
        return data[:place] + data[end:]
    if how == 2:
        return data[:end] + data[place:end] * random.choice((1, 2, 50)) + data[end:]
    if how == 3:
        return data[:place] + other[random.randrange(len(other)) :]
    if how == 4:
        return data[:place]
    if how == 5:
        return data[:place] + random.choice(WORDS) + data[end:]
    return data[:place] + random.choice(WORDS) + data[place:]


def fuzz(port: int, seed: int, until: float) -> Counter[int]:
    """One client; the statuses of what it was answered, by their number."""
    random_ = random.Random(seed)
    statuses: Counter[int] = Counter()
    number = 0
    while time.monotonic() < until:
        # Three may ask to wait for 50 seconds each, one after the other.
        with Wire(port, timeout=180) as wire, contextlib.suppress(ConnectionError):
            sent: list[bytes] = []
            for _ in range(random_.choice((1, 1, 3, 20))):
                number += 1
                good = requests(random_, f"{seed}-{number}")
                data = random_.choice(good)
                for _ in range(random_.choice((0, 1, 1, 2, 5))):
                    data = mutated(random_, data, random_.choice(good))
                if b"wait" not in data or len(sent) < _MOST_WAITS:
                    sent.append(data)
            statuses.update(exchanged(random_, wire, b"".join(sent)))
    return statuses


def exchanged(random: random.Random, wire: Wire, data: bytes) -> list[int]:
    """Send it in packets of some size, leave in some way, and return what was answered."""
    wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    size = random.choice((len(data) or 1, len(data) or 1, 7, 300, 2048))
    received = b""
    with contextlib.suppress(ConnectionError):
        for place in range(0, len(data), size):
            wire.send(data[place : place + size])
        if random.random() < 0.1:
            wire.reset()
            return []
        wire.end()
    with contextlib.suppress(ConnectionError):
        while more := wire.socket.recv(1 << 20):
            received += more
    return [int(status) for status in STATUS.findall(received)]


def connections_of(boss: BossProcess) -> int:
    found = psutil.Process(boss.process.pid).net_connections()
    return sum(each.status != psutil.CONN_LISTEN and each.laddr[1] == boss.port for each in found)


def resident(boss: BossProcess) -> int:
    return int(Path(f"/proc/{boss.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def run(boss: BossProcess, seed: int, seconds: float) -> Counter[int]:
    ends = time.monotonic() + seconds
    with ThreadPoolExecutor(CLIENTS) as threads:
        clients = [threads.submit(fuzz, boss.port, seed + number, ends) for number in range(CLIENTS)]
        return sum((client.result() for client in clients), Counter())


@pytest.mark.long
def test_mutated_requests(database: str) -> None:
    print(f"FUZZ_SEED={SEED}")
    with boss_running("--database", database, "--quiet") as boss, boss.client() as client:
        first = run(boss, SEED, min(3, SECONDS / 2))
        before = resident(boss)
        statuses = first + run(boss, SEED + CLIENTS, SECONDS)
        print(dict(statuses))
        assert {status for status in statuses if status >= 500} <= {501, 505}
        assert statuses[201] > 10
        assert statuses[400] > 10
        assert boss.process.poll() is None
        until(lambda: connections_of(boss) <= 1)
        assert '"level":"error"' not in boss.log
        assert resident(boss) - before < 30 * MIB + SECONDS * MIB / 20
        # Every submit that was answered is there, and some of those whose clients did not wait for the answer.
        text = client.get("/metrics").text
        counted = sum(map(float, re.findall(r"^boss_jobs_submitted_total(?:\{.*\})? (\S+)", text, re.MULTILINE)))
        tree = client.get("/job").json()
        stored = sum(sum(sources.values()) for sources in tree.values())
        assert stored >= statuses[201]
        assert stored == counted
