"""How far it is from a take's bytes to its SQL: every function of ours that is called on the way."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import pytest

import boss
from boss.dispatch.converters import Converters
from boss.dispatch.dashboard import DashboardFeed
from boss.dispatch.ends import Ends
from boss.dispatch.moving import Moving
from boss.dispatch.queries import Queries
from boss.dispatch.scan_cursors import ScanCursors
from boss.dispatch.schedules import Schedules
from boss.dispatch.tokens import Tokens
from boss.dispatch.wait_queue import WaitQueue
from boss.http.connections import Connections
from boss.http.router import App
from boss.http.server import listening, listening_sockets
from boss.postgres.connection import Pool
from boss.settings import Settings
from tests.helpers.dispatchers import dispatcher_over, no_limits
from tests.helpers.servers import free_port

OURS = f"{Path(boss.__file__).parent}/"
MOST_CALLS = 50
MOST_MODULES = 10
HEADERS = "Host: localhost\r\nUser-Agent: curl/8\r\nAccept: */*\r\n"


class Client(NamedTuple):
    """A connection to a Boss in this process."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, head: str, body: str = "") -> str:
        """Send a request; return the response's status line."""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.writer.write(f"{head} HTTP/1.1\r\n{HEADERS}{length}\r\n{body}".encode())
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        found = next(line for line in text.lower().split("\r\n") if line.startswith("content-length"))
        await self.reader.readexactly(int(found.split(":")[1]))
        return text.split("\r\n")[0]


@pytest.fixture
async def client(pool: Pool) -> AsyncIterator[Client]:
    """A connection to a Boss in this process."""

    async def announce() -> bool:
        return False

    settings = Settings(data=Path(), port=free_port())
    tokens = Tokens(pool, lambda _: None)
    wait_queue = WaitQueue()
    dispatcher = dispatcher_over(pool, wait_queue, ScanCursors(), announce)
    queries = Queries(pool, wait_queue, no_limits(pool))
    schedules, moving = Schedules(pool, dispatcher), Moving(pool, dispatcher, queries)
    ends, converters = Ends(pool, queries, 1000), Converters(pool, wait_queue)
    app = App(dispatcher, queries, ends, converters, DashboardFeed(queries), tokens, schedules, moving, settings, "0")
    sockets = await listening_sockets(settings)
    async with listening(Connections(app.respond, tokens.is_valid, settings), settings, sockets):
        reader, writer = await asyncio.open_connection(settings.host, settings.port)
        yield Client(reader, writer)
        writer.close()


class CallsToSql(list[str]):
    """The functions that are called until the first of asyncpg's own that runs a statement."""

    is_over = False

    def record(self, frame: FrameType, event: str, _: object) -> None:
        """What sys.setprofile calls."""
        file = frame.f_code.co_filename
        if event != "call" or self.is_over:
            return
        if file.endswith(("asyncpg/connection.py", "asyncpg/prepared_stmt.py")):
            self.is_over = frame.f_code.co_name in ("fetch", "_execute", "__bind_execute", "_do_execute")
        elif file.startswith(OURS):
            self.append(f"{file.removeprefix(OURS)}: {frame.f_code.co_qualname}")


@pytest.mark.parametrize("path", ["/job/available", "/job/available/freg"])
async def test_a_take_is_a_short_way_from_its_bytes_to_its_sql(client: Client, path: str) -> None:
    for _ in range(3):
        assert await client.ask("POST /job/available/freg", "{}") == "HTTP/1.1 201 Created"
    for _ in range(2):
        assert await client.ask(f"GET {path}") == "HTTP/1.1 200 OK"
    await asyncio.sleep(0)
    called = CallsToSql()
    sys.setprofile(called.record)
    try:
        assert await client.ask(f"GET {path}") == "HTTP/1.1 200 OK"
    finally:
        sys.setprofile(None)
    modules = {each.split(":")[0] for each in called}
    print(f"\nGET {path}: {len(called)} calls in {len(modules)} modules", *called, sep="\n")
    assert called.is_over
    assert len(called) <= MOST_CALLS
    assert len(modules) <= MOST_MODULES
