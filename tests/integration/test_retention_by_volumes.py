"""For how long done jobs are kept, by a clock that is moved."""

import asyncio

import pytest

from boss.dispatch.history import History
from boss.model.job import Finish, Submission
from boss.postgres import store
from boss.postgres.connection import Pool, connected
from boss.postgres.migrate import migrate
from tests.helpers.clock import Clock

pytestmark = pytest.mark.without_schema

_DAY_S = 86400.0
_AGES = "SELECT extract(epoch FROM now() - finished_at) / 86400 AS days FROM job ORDER BY 1 DESC"
# What the version before, or SQL by hand, has left.
_OLD = """
INSERT INTO job (id, source, document, status, outcome, finished_at)
SELECT 'old-' || n, 'freg', '{}', 'DONE', 'completed', now() - n * interval '6 hours' FROM generate_series(1, 200) AS n
"""


async def one_day(pool: Pool, history: History, day: int) -> list[float]:
    """Finish ten jobs, and keep the history; return the ages of all jobs in days, the oldest first."""
    ids = [f"{day}-{number}" for number in range(10)]
    await store.submit(pool, [Submission(id, "freg", "{}") for id in ids])
    assert await store.finish(pool, [Finish(id, "freg") for id in ids]) == set(ids)
    await history.keep()
    return [float(row["days"]) for row in await pool.fetch(_AGES)]


async def volumes_in_use(pool: Pool) -> set[str]:
    return {row["name"] for row in await pool.fetch("SELECT DISTINCT tableoid::regclass::text AS name FROM job")}


def test_jobs_are_kept_as_long_as_asked_and_a_sixth_longer_at_most(database: str) -> None:
    with Clock(database) as clock, asyncio.Runner() as runner:
        context = connected(database)
        pool = runner.run(context.__aenter__())
        runner.run(migrate(pool))
        # Two replicas, of which only one deletes.
        histories = [History(pool, 30, {}), History(pool, None, {})]
        runner.run(pool.execute(_OLD))
        longest, used = [], set()
        for day in range(120):
            history = histories[day % 2]
            ages = runner.run(one_day(pool, history, day))
            used.update(runner.run(volumes_in_use(pool)))
            # All of the last 30 days: none of them was deleted too early.
            assert len([age for age in ages if age < 30.01]) >= 10 * min(day + 1, 30)
            longest.append(ages[0])
            clock.move(_DAY_S)
        # A sixth longer, and some days for replicas that look every other day only.
        assert max(longest) < 30 + 5 + 5
        assert len(used) >= 6
        assert sum(runner.run(store.count(pool)).values()) == len(runner.run(pool.fetch("SELECT FROM job")))
        runner.run(context.__aexit__(None, None, None))


def test_jobs_that_are_kept_for_ever_stay(database: str) -> None:
    with Clock(database) as clock, asyncio.Runner() as runner:
        context = connected(database)
        pool = runner.run(context.__aenter__())
        runner.run(migrate(pool))
        history = History(pool, None, {})
        for day in range(20):
            assert len(runner.run(one_day(pool, history, day))) == 10 * (day + 1)
            clock.move(40 * _DAY_S)
        # All volumes are in use, and the last one goes on.
        assert len(runner.run(volumes_in_use(pool))) == 8
        runner.run(context.__aexit__(None, None, None))
