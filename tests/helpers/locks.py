"""Transactions that hold locks."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import asyncpg

from tests.helpers.servers import until


@contextmanager
def transaction(url: str, statement: str) -> Iterator[Callable[[str], None]]:
    """Run a statement in a transaction that stays open; yield a function that runs more in it, for instance COMMIT."""
    with asyncio.Runner() as runner, ThreadPoolExecutor(1) as thread:
        connection = thread.submit(runner.run, asyncpg.connect(url)).result()

        def run(statement: str) -> None:
            thread.submit(runner.run, connection.execute(statement)).result()

        try:
            run("BEGIN")
            run(statement)
            yield run
        finally:
            thread.submit(runner.run, connection.close()).result()


def waiting_for_locks(url: str, sessions: int) -> None:
    """Wait until so many sessions wait for a lock."""

    async def count() -> int:
        connection = await asyncpg.connect(url)
        try:
            found = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return int(await connection.fetchval(found))
        finally:
            await connection.close()

    until(lambda: asyncio.run(count()) >= sessions)
