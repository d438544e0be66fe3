"""One memory budget covers bodies being read and responses being sent, over all connections."""

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.wire import HOST, Wire

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
BUDGET = 256 * MIB
BODY = 16 * MIB
LIVE = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"


def resident(boss: BossProcess) -> int:
    """How many bytes of memory it has."""
    status = Path(f"/proc/{boss.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def withheld(port: int) -> Wire:
    """A client that has sent all of a large body but its last byte, or as much as is taken from it."""
    wire = Wire(port, timeout=30)
    line = b'{"a":"' + b"x" * 1000 + b'"}\n'
    body = (line * (BODY // len(line)))[:-1]
    head = b"POST /job/available/freg HTTP/1.1\r\n%bContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n"
    with contextlib.suppress(ConnectionError):
        wire.send(head % (HOST, len(body) + 1), body)
    return wire


def has_answer(wire: Wire) -> bool:
    wire.socket.setblocking(False)
    try:
        return bool(wire.socket.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        wire.socket.settimeout(20)


def test_200_large_bodies_whose_last_byte_is_withheld(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client, ThreadPoolExecutor(8) as threads:
        client.post("/job/available/freg", content="{}")
        before = resident(boss)
        wires = list(threads.map(withheld, [boss.port] * 200))
        for _ in range(20):
            assert client.post("/job/available/small", content='{"a":1}').status_code == 201
        assert resident(boss) - before < BUDGET + 64 * MIB
        refused = [wire for wire in wires if has_answer(wire)]
        kept = [wire for wire in wires if wire not in refused]
        # Three quarters of the budget are for large ones.
        assert 1 <= len(kept) <= BUDGET * 3 // 4 // BODY
        replies = [reply for wire in refused if (reply := answer(wire))]
        assert len(replies) > 100
        assert {(status, retry) for status, retry in replies} == {(503, "1")}
        for wire in wires:
            wire.close()
        until(lambda: resident(boss) - before < 100 * MIB)
        assert client.get("/job").json()["available"] == {"freg": 1, "small": 20}


def answer(wire: Wire) -> tuple[int, str | None] | None:
    with contextlib.suppress(ConnectionError):
        reply = wire.reply()
        return reply.status, reply.headers.get("retry-after")
    return None


def filled(boss: BossProcess, jobs: int, size: int) -> None:
    with boss.client() as client:
        for _ in range(jobs):
            assert client.post("/job/available/large", content=b'{"a":"%b"}' % (b"x" * size)).status_code == 201


LARGE = b"GET /jobs?source=large&limit=8 HTTP/1.1\r\n" + HOST + b"\r\n"


def lazy(port: int, requests: int) -> Wire:
    """A client that asks for large responses and reads nothing."""
    wire = Wire(port)
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with contextlib.suppress(TimeoutError, ConnectionError):
        wire.socket.settimeout(2)
        wire.send(LARGE * requests)
    return wire


def test_responses_that_nobody_reads(database: str) -> None:
    """The slowest readers are cut off when there is too much of them; others are served."""
    with boss_running("--database", database, "--max-memory", str(64 * MIB)) as boss, boss.client() as client:
        filled(boss, 8, 900_000)
        assert len(client.get("/jobs?source=large&limit=8").content) > 6 * MIB
        before = resident(boss)
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(lazy(boss.port, requests=3)) for _ in range(40)]
            until(lambda: any(ended(wire) for wire in wires[:20]))
            until(lambda: resident(boss) - before < 64 * MIB + 100 * MIB)
            # The last ones have not been slow for as long as the first ones.
            assert not ended(wires[-1])
            assert client.get("/job").status_code == 200
        until(lambda: resident(boss) - before < 100 * MIB)


def ended(wire: Wire) -> bool:
    """Whether Boss has reset the connection."""
    return wire.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\x07"


@pytest.mark.long
def test_who_reads_nothing_is_cut_off_and_who_reads_slowly_is_not(database: str) -> None:
    """Half a minute without any progress is the limit: this one waits for it."""
    with boss_running("--database", database) as boss:
        filled(boss, 8, 900_000)
        with lazy(boss.port, 1) as reads_nothing, lazy(boss.port, 1) as reads_slowly:
            received, started = 0, time.monotonic()
            reads_slowly.socket.settimeout(20)
            while not ended(reads_nothing):
                received += len(reads_slowly.socket.recv(16_384))
                time.sleep(0.1)
                assert time.monotonic() - started < 60
            assert time.monotonic() - started > 20
            assert not ended(reads_slowly)
            assert received > 100_000


def test_a_pipeline_is_read_as_it_is_answered(database: str) -> None:
    """A hundred thousand requests in one go: what waits for its turn waits with the client."""
    with boss_running("--database", database) as boss:
        before, requests = resident(boss), 100_000
        with Wire(boss.port) as wire, ThreadPoolExecutor(1) as thread:
            sending = thread.submit(wire.send, LIVE * requests)
            most = 0
            for number in range(requests):
                assert wire.reply().status == 200
                if number % 5000 == 0:
                    most = max(most, resident(boss))
                    with Wire(boss.port) as other:
                        assert other.send(LIVE).reply().status == 200
            sending.result()
        assert most - before < 30 * MIB


def test_10_000_pipelined_requests_are_answered_in_order(database: str) -> None:
    with boss_running("--database", database) as boss:
        paths = [f"/job/available/freg/{number}" for number in range(5000)]
        lines = [f"{method} {path}" for path in paths for method in ("POST", "HEAD")]
        whole = "".join(
            f"{line} HTTP/1.1\r\nHost: localhost\r\n" + ("\r\n" if line[0] == "H" else "Content-Length: 2\r\n\r\n{}")
            for line in lines
        )
        with Wire(boss.port, timeout=60) as wire, ThreadPoolExecutor(1) as thread:
            sending = thread.submit(wire.send, whole.encode())
            for line in lines:
                reply = wire.reply(line.split()[0])
                assert reply.status == (201 if line.startswith("POST") else 200)
                if line.startswith("POST"):
                    assert reply.headers["location"].endswith(line.split()[1])
            sending.result()
        assert httpx.get(f"{boss.url}/job").json()["available"] == {"freg": 5000}
