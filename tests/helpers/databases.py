"""Empty databases for tests."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import asyncpg

from boss.postgres.connection import Connection

_numbers = itertools.count(1)


_Value = TypeVar("_Value")


def run_in(url: str, statement: str) -> None:
    """Run statements in a database."""
    _in_a_thread(url, lambda connection: connection.execute(statement))


def value_in(url: str, query: str) -> Any:
    """The first value that a query returns."""
    return _in_a_thread(url, lambda connection: connection.fetchval(query))


def _in_a_thread(url: str, work: Callable[[Connection], Awaitable[_Value]]) -> _Value:
    async def run() -> _Value:
        connection = await asyncpg.connect(url)
        try:
            return await work(connection)
        finally:
            await connection.close()

    # In a thread, because Playwright runs an event loop in ours.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(run())).result()


def new_database(postgres: str) -> Iterator[str]:
    """The URL of an empty database, dropped afterwards."""
    name = f"test_{next(_numbers)}"
    run_in(postgres, f"CREATE DATABASE {name}")
    yield postgres.replace("/boss?", f"/{name}?")
    run_in(postgres, f"DROP DATABASE {name} WITH (FORCE)")
