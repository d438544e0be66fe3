"""Clients that go away at every moment of a take, by the thousand: no job stays active for nobody, or is handed to two.

A client can close its socket before it has read the answer, or reset it while the answer is on its way. As far as TCP
can tell, both have received it. The system counts them, and no more jobs than that may be active for nobody.
"""

import asyncio
import contextlib
import json
import random
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest

from tests.helpers.hang_ups import UNCOUNTED_WITH_RESETS, assert_none_is_active_for_nobody, fill, request, unheard
from tests.helpers.servers import BossProcess, until
from tests.helpers.wire import Wire

pytestmark = pytest.mark.alone

CLIENTS = 2000
AT_ONCE = 64
TRAFFIC = 64
# Longer than a take takes under this load, in seconds.
_LATEST = 0.06

Ending: TypeAlias = Callable[[socket.socket, bytes], Coroutine[Any, Any, str | None]]


@contextlib.asynccontextmanager
async def connected(port: int) -> Any:
    """A socket that is connected to Boss, and closed in the end."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(client, ("127.0.0.1", port))
        yield client


async def answer(client: socket.socket) -> tuple[int, bytes]:
    """The status and the body of the next whole answer, past interim ones."""
    loop = asyncio.get_running_loop()
    received = b""
    while True:
        head, found, rest = received.partition(b"\r\n\r\n")
        if found and head.startswith(b"HTTP/1.1 100 "):
            received = rest
            continue
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0) if found else 0
        if found and len(rest) >= length:
            return int(head.split()[1]), rest
        data = await loop.sock_recv(client, 1 << 16)
        if not data:
            raise ConnectionError(f"ended after {received!r}")
        received += data


async def taken(client: socket.socket) -> str | None:
    """The id of the job in the next answer; None when there is none."""
    status, body = await answer(client)
    assert status in (200, 404), body
    return str(json.loads(body)["id"]) if status == 200 else None


async def close(client: socket.socket, take: bytes) -> str | None:
    """Ask, and close at some moment."""
    await asyncio.get_running_loop().sock_sendall(client, take)
    await asyncio.sleep(random.choice((0, random.uniform(0, _LATEST))))
    return None


async def reset(client: socket.socket, take: bytes) -> str | None:
    """Ask, and reset the connection at some moment."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return await close(client, take)


async def close_as_it_comes(client: socket.socket, take: bytes) -> str | None:
    """Ask, and close as soon as something has come, unread."""
    await asyncio.get_running_loop().sock_sendall(client, take)
    await readable(client)
    return None


async def readable(client: socket.socket) -> None:
    loop, comes = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(client, comes.set)
    await comes.wait()
    loop.remove_reader(client)


async def half_close(client: socket.socket, take: bytes) -> str | None:
    """Ask, end the sending at some moment, and read the answer."""
    await close(client, take)
    client.shutdown(socket.SHUT_WR)
    return await taken(client)


async def read_and_close(client: socket.socket, take: bytes) -> str | None:
    """Ask, read the answer, and close."""
    await asyncio.get_running_loop().sock_sendall(client, take)
    return await taken(client)


async def read_and_reset(client: socket.socket, take: bytes) -> str | None:
    """Ask twice, read the answers, and reset the connection, before the system has acknowledged the second one."""
    await asyncio.get_running_loop().sock_sendall(client, b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await answer(client)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return await read_and_close(client, take)


async def all_takers(port: int, take: bytes, endings: list[Ending]) -> list[str]:
    """Thousands of clients, some at once, with ordinary traffic beside them; the ids of the jobs that they got."""
    places, got = asyncio.Semaphore(AT_ONCE), list[str]()

    async def one(ending: Ending) -> None:
        async with places, connected(port) as client:
            if id := await ending(client, take):
                got.append(id)

    async with ordinary_traffic(port), asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(one(endings[number % len(endings)]))
    return got


@contextlib.asynccontextmanager
async def ordinary_traffic(port: int) -> Any:
    """Others submit, take and finish on connections that they keep."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    async def work(name: str) -> None:
        async with connected(port) as client:

            async def ask(line: str, body: str = "") -> tuple[int, bytes]:
                head = f"{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
                await loop.sock_sendall(client, (head + body).encode())
                return await answer(client)

            while not over.is_set():
                assert (await ask(f"POST /job/available/{name}", "{}"))[0] == 201
                status, body = await ask(f"GET /job/available/{name}")
                assert status == 200
                assert (await ask(f"POST /job/done/{name}/{json.loads(body)['id']}"))[0] == 200

    tasks = [loop.create_task(work(f"other-{number}")) for number in range(TRAFFIC)]
    yield
    over.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("wait", ["", "?wait=5"])
@pytest.mark.parametrize(
    "endings",
    [[close], [reset], [half_close], [close_as_it_comes], [read_and_close, read_and_reset, close, reset, half_close]],
    ids=["close", "reset", "half-close", "close as it comes", "all of them"],
)
async def test_thousands_at_load(module_boss: BossProcess, source: str, endings: list[Ending], wait: str) -> None:
    fill(module_boss, source, CLIENTS)
    before = unheard()
    got = await all_takers(module_boss.port, request(source, wait), endings)
    if endings == [half_close]:
        assert len(got) == CLIENTS
    uncounted = UNCOUNTED_WITH_RESETS if reset in endings else 0
    assert_none_is_active_for_nobody(module_boss, source, got, unheard() - before + uncounted)


@pytest.mark.parametrize("leave", [Wire.reset, Wire.close])
async def test_takers_that_wait_and_have_gone_are_noticed(
    module_boss: BossProcess, source: str, leave: Callable[[Wire], None]
) -> None:
    """Though nothing is written to them; they would wait for minutes."""
    takers = [Wire(module_boss.port).send(request(source, "?wait=300")) for _ in range(200)]
    with module_boss.client() as client:
        until(lambda: "boss_waiting_takers 200.0" in client.get("/metrics").text)
        for taker in takers:
            leave(taker)
        until(lambda: "boss_waiting_takers 0.0" in client.get("/metrics").text)
        assert client.post(f"/job/available/{source}/{source}", content="{}").status_code == 201
        assert client.get(f"/jobs/{source}").json()["state"] == "available"
