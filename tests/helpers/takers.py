"""Many clients at once, and what became of the jobs."""

import contextlib

import aiohttp
import asyncpg

from tests.helpers.servers import BossProcess


async def tree(client: aiohttp.ClientSession) -> dict[str, dict[str, int]]:
    """GET /job."""
    async with client.get("/job") as answer:
        counts: dict[str, dict[str, int]] = await answer.json()
        return counts


async def statuses(database: str) -> dict[str, int]:
    """How many jobs the table has of each status, counted in the table itself."""
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch("SELECT status, count(*) FROM job GROUP BY status")
        return {row["status"]: row["count"] for row in rows}
    finally:
        await connection.close()


async def clients(replicas: list[BossProcess], stack: contextlib.AsyncExitStack) -> list[aiohttp.ClientSession]:
    """A client of each replica."""
    return [
        await stack.enter_async_context(aiohttp.ClientSession(replica.url, connector=aiohttp.TCPConnector(limit=0)))
        for replica in replicas
    ]
