"""Databases with faults."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator

import asyncpg

from tests.helpers.postgres import PostgresServer
from tests.helpers.servers import BossProcess


def every_kind(boss: BossProcess) -> list[tuple[str, str, str | None]]:
    """More kinds of statements than there are connections."""
    return [
        ("POST", "/job/available/freg", "{}"),
        ("GET", "/job/available/freg", None),
        ("GET", "/job/available", None),
        ("HEAD", "/job/available/freg", None),
        ("GET", "/job/available/freg/kept", None),
        ("HEAD", "/job/active/freg/kept", None),
        ("POST", "/job/active/freg/kept", None),
        ("DELETE", "/job/active/freg/none", None),
        ("POST", "/job/done/freg/none", None),
        ("GET", "/job/done/freg/none", None),
        ("GET", "/jobs?state=available", None),
        ("GET", "/jobs", None),
        ("GET", "/jobs/kept", None),
    ]


@contextlib.contextmanager
def faulty(server: PostgresServer, fault: str) -> Iterator[None]:
    if fault == "frozen":
        server.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            server.signal(signal.SIGCONT)
        return
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(server.url))
        runner.run(connection.execute("BEGIN; LOCK TABLE job IN ACCESS EXCLUSIVE MODE"))
        try:
            yield
        finally:
            runner.run(connection.close())
