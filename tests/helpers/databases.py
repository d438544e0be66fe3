"""Databases for tests."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import asyncpg

from boss.postgres.connection import Connection, connected
from boss.postgres.migrate import migrate

_numbers = itertools.count(1)
# What begins a transaction that fills tables: it may take long, and its ids are new. To look each one up among the
# done jobs takes four fifths of the time, 5.3 s of the processor for 200,000 jobs instead of 1.2.
FILLING = "SET LOCAL statement_timeout = 0; SET LOCAL boss.ids = 'known'"

_Value = TypeVar("_Value")


def run_in(url: str, statement: str) -> None:
    """Run statements in a database."""
    _in_a_thread(url, lambda connection: connection.execute(statement))


def fill_in(url: str, statement: str) -> None:
    """Fill a database by statements whose ids are new."""
    run_in(url, f"{FILLING}; {statement}")


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
    """The URL of a database with Boss's schema and no jobs, dropped afterwards."""
    # To copy all files is cheaper than to write their pages to the WAL, and that than to migrate: 32, 38 and 55 ms of
    # the processor for a database and its first Boss.
    yield from _created(postgres, f"TEMPLATE {_migrated(postgres)} STRATEGY file_copy")


def filled_database(postgres: str, *fillings: str) -> Iterator[str]:
    """The URL of a database with Boss's schema in which these statements have been run, dropped afterwards.

    They are run once in a session, one after the other; each test gets a copy. No autovacuum changes it.
    """
    yield from _created(postgres, f"TEMPLATE {_filled(postgres, fillings)} STRATEGY file_copy")


def empty_database(postgres: str) -> Iterator[str]:
    """The URL of a database without a schema, dropped afterwards."""
    yield from _created(postgres, "")


def _created(postgres: str, options: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    run_in(postgres, f"CREATE DATABASE {name} {options}")
    yield _url(postgres, name)
    run_in(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@cache
def _migrated(postgres: str) -> str:
    """The name of a database with Boss's schema that nobody uses, to copy from."""

    async def bring_to_schema(_: Connection) -> None:
        async with connected(_url(postgres, name)) as pool:
            await migrate(pool)

    name = "migrated"
    run_in(postgres, f"CREATE DATABASE {name}")
    _in_a_thread(postgres, bring_to_schema)
    return name


@cache
def _filled(postgres: str, fillings: tuple[str, ...]) -> str:
    """The name of a database in which these statements have been run and that nobody uses, to copy from."""
    name = f"filled_{next(_numbers)}"
    if fillings:
        run_in(postgres, f"CREATE DATABASE {name} TEMPLATE {_filled(postgres, fillings[:-1])} STRATEGY file_copy")
        fill_in(_url(postgres, name), fillings[-1])
    else:
        run_in(postgres, f"CREATE DATABASE {name} TEMPLATE {_migrated(postgres)} STRATEGY file_copy")
        run_in(_url(postgres, name), "ALTER TABLE job SET (autovacuum_enabled = off)")
    return name


def _url(postgres: str, name: str) -> str:
    return postgres.replace("/boss?", f"/{name}?")
