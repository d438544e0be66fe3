"""pgqueuer: python pgqueuer_loops.py DATABASE_URL CONNECTIONS SECONDS"""

import asyncio
import contextlib
import json
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.queries import EntrypointExecutionParameter, Queries

PAYLOAD = json.dumps({"payload": "x" * 186}).encode()


async def rate(connections: int, seconds: float, operation: Callable[[], Awaitable[bool]]) -> float:
    done = 0
    start = time.perf_counter()

    async def loop() -> None:
        nonlocal done
        while time.perf_counter() < start + seconds:
            worked = await operation()  # first, for `done += await …` would read `done` too early
            done += worked

    await asyncio.gather(*(loop() for _ in range(connections)))
    return done / (time.perf_counter() - start)


async def main(url: str, connections: int, seconds: float) -> None:
    async with asyncpg.create_pool(url, min_size=20, max_size=20) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        with contextlib.suppress(asyncpg.DuplicateObjectError):  # by an earlier round
            await queries.install()
        entrypoints = {"bench": EntrypointExecutionParameter(0)}
        manager = uuid.uuid4()

        async def submit() -> bool:
            await queries.enqueue("bench", PAYLOAD)
            return True

        async def take_and_complete() -> bool:
            jobs = await queries.dequeue(1, entrypoints, manager, None, timedelta(minutes=30))
            if jobs:
                await queries.log_jobs([(job, "successful", None) for job in jobs])
            return bool(jobs)

        async def cycle() -> bool:
            await submit()
            return await take_and_complete()

        rates = {"submit": await rate(connections, seconds, submit)}
        rates["take_and_complete"] = await rate(connections, seconds, take_and_complete)
        rates["cycle"] = await rate(connections, seconds, cycle)
    print(json.dumps(rates))


uvloop.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
