"""What must never happen: two takers of one attempt, a lost job, a job both done and available. Shown by counting."""

import asyncio
import contextlib
from collections import Counter

import aiohttp
import asyncpg
import pytest

from tests.helpers.servers import boss_running
from tests.helpers.takers import clients, statuses, tree

pytestmark = pytest.mark.slow

TAKERS = 64
JOBS = 10_000


# A converter that finds nothing asks again after a while, in seconds.
POLL = 0.02


async def take_until_empty(client: aiohttp.ClientSession, taken: Counter[str], expected: int, finish: bool) -> None:
    """Take jobs until all that are expected have been; finish each, when told to."""
    while taken.total() < expected:
        async with client.get("/job/available") as answer:
            job = await answer.json(content_type=None)
            assert answer.status in (200, 404), job
        if answer.status == 404:
            await asyncio.sleep(POLL)
            continue
        taken[job["id"]] += 1
        if finish:
            async with client.post(f"/job/done/{job['source']}/{job['id']}") as done:
                assert done.status == 200, await done.text()


async def submit_some(client: aiohttp.ClientSession, source: str, jobs: int) -> set[str]:
    """Submit jobs one after the other; return their ids."""
    ids = set()
    for number in range(jobs):
        async with client.post(f"/job/available/{source}", data=f'{{"n": {number}}}') as answer:
            assert answer.status == 201, await answer.text()
            ids.add((await answer.json())["id"])
    return ids


async def test_64_takers_on_3_replicas_take_10000_jobs_once_each(database: str) -> None:
    with contextlib.ExitStack() as running:
        replicas = [running.enter_context(boss_running("--database", database)) for _ in range(3)]
        connection = await asyncpg.connect(database)
        await connection.execute(
            "INSERT INTO job (id, source, document) "
            "SELECT 'job-' || n, 'source-' || n % 7, '{}' FROM generate_series(1, $1::int) AS n",
            JOBS,
        )
        await connection.close()
        async with contextlib.AsyncExitStack() as stack:
            boss = await clients(replicas, stack)
            taken: Counter[str] = Counter()
            await asyncio.gather(
                *(take_until_empty(boss[number % 3], taken, JOBS, finish=False) for number in range(TAKERS))
            )
            counts = await tree(boss[1])
    assert taken == Counter({f"job-{number}": 1 for number in range(1, JOBS + 1)})
    assert await statuses(database) == {"ACTIVE": JOBS}
    assert sum(counts["active"].values()) == JOBS
    assert sum(counts["available"].values()) == 0


async def test_also_while_submits_and_dones_go_on(database: str) -> None:
    with contextlib.ExitStack() as running:
        replicas = [running.enter_context(boss_running("--database", database)) for _ in range(3)]
        async with contextlib.AsyncExitStack() as stack:
            boss = await clients(replicas, stack)
            submitters = 20
            taken: Counter[str] = Counter()
            submitted, _ = await asyncio.gather(
                asyncio.gather(
                    *(
                        submit_some(boss[number % 3], f"source-{number}", JOBS // submitters)
                        for number in range(submitters)
                    )
                ),
                asyncio.gather(
                    *(take_until_empty(boss[number % 3], taken, JOBS, finish=True) for number in range(TAKERS))
                ),
            )
            counts = await tree(boss[2])
    ids = set().union(*submitted)
    assert len(ids) == JOBS
    assert taken == Counter(dict.fromkeys(ids, 1))
    assert await statuses(database) == {"DONE": JOBS}
    assert {state: sum(of_source.values()) for state, of_source in counts.items()} == {
        "available": 0,
        "active": 0,
        "done": JOBS,
    }


async def test_many_finish_one_job_and_only_one_is_told_it_did(database: str) -> None:
    with contextlib.ExitStack() as running:
        replicas = [running.enter_context(boss_running("--database", database)) for _ in range(2)]
        async with contextlib.AsyncExitStack() as stack:
            boss = await clients(replicas, stack)
            ids = await submit_some(boss[0], "freg", 30)
            answers: dict[str, list[int]] = {id: [] for id in ids}

            async def finish(id: str, client: aiohttp.ClientSession) -> None:
                async with client.post(f"/job/done/freg/{id}") as answer:
                    answers[id].append(answer.status)

            # In opposite order on the two replicas, for deadlocks.
            await asyncio.gather(
                *(finish(id, boss[0]) for id in sorted(ids) for _ in range(5)),
                *(finish(id, boss[1]) for id in sorted(ids, reverse=True) for _ in range(5)),
            )
    assert all(sorted(codes) == [200] + [404] * 9 for codes in answers.values()), answers


async def test_many_submit_one_id_and_only_one_is_told_it_did(database: str) -> None:
    with contextlib.ExitStack() as running:
        replicas = [running.enter_context(boss_running("--database", database)) for _ in range(2)]
        async with contextlib.AsyncExitStack() as stack:
            boss = await clients(replicas, stack)
            answers: dict[str, list[int]] = {f"id-{number}": [] for number in range(30)}

            async def submit(id: str, client: aiohttp.ClientSession, document: str) -> None:
                async with client.post(f"/job/available/freg/{id}", data=document) as answer:
                    answers[id].append(answer.status)

            await asyncio.gather(
                *(submit(id, boss[number % 2], f'{{"n": {number}}}') for id in answers for number in range(10))
            )
    assert all(sorted(codes) == [201] + [409] * 9 for codes in answers.values()), answers
