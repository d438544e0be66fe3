"""Every form of take reads the queue by the index of its order, with the statistics of a queue without a job."""

import pytest

from boss.model.job import Finish, Submission, Take
from boss.postgres import store, takes, takes_by_address, takes_by_key, takes_within_limits
from boss.postgres.connection import Connection, Pool
from boss.postgres.statement import Statement
from tests.helpers.plans import nodes_of_plan
from tests.helpers.postgres import fill

_ANY = {"job_ready", "job_pkey"}
_OF_SOURCE = {"job_ready_of_source", "job_pkey"}
_RATES = {"source_rule_pkey"}
TAKES: list[tuple[Statement, set[str]]] = [
    (takes.TAKE, _ANY),
    (takes.TAKE_WHAT_FITS, _ANY),
    (takes.TAKE_PAST_CURSORS, _ANY),
    (takes.TAKE_OF_SOURCES, _OF_SOURCE),
    (takes.TAKE_OF_SOURCES_WHAT_FITS, _OF_SOURCE),
    (takes.TAKE_OF_SOURCES_PAST_CURSORS, _OF_SOURCE),
    (takes_by_key.TAKE_BY_KEY, _ANY),
    (takes_by_key.TAKE_OF_SOURCES_BY_KEY, _OF_SOURCE),
    (takes_by_key.TAKE_AGAIN, {"job_take_key", "job_pkey"}),
    (takes_within_limits.TAKE_WITHIN_LIMITS, _OF_SOURCE | _RATES),
    (takes_within_limits.TAKE_BY_KEY_WITHIN_LIMITS, _OF_SOURCE | _RATES),
    (takes_within_limits.TAKE_OF_SEVERAL, _OF_SOURCE),
    (takes_within_limits.TAKE_OF_SEVERAL_BY_KEY, _OF_SOURCE),
    *(
        (takes.with_leases(each, [-1]), wanted | {"source_rule_pkey"})
        for each, wanted in [
            (takes.TAKE, _ANY),
            (takes.TAKE_PAST_CURSORS, _ANY),
            (takes_by_key.TAKE_BY_KEY, _ANY),
            (takes_within_limits.TAKE_WITHIN_LIMITS, _OF_SOURCE),
            (takes_within_limits.TAKE_OF_SEVERAL_BY_KEY, _OF_SOURCE),
        ]
    ),
    (takes_by_address.TAKE_BY_ADDRESS, {"job_pkey"}),
    (takes_by_address.TAKE_BY_ADDRESS_WITHIN_LIMITS, {"job_pkey"} | _RATES),
]
_DONE = """
INSERT INTO job (id, source, document, status, finished_at)
SELECT 'done-' || n, 'source-' || n % 20, '{}', 'DONE', now() FROM generate_series(1, 100000) AS n
"""


async def churn(pool: Pool, jobs: int) -> None:
    """Submit, take and finish so many jobs of one source."""
    ids = [f"churn-{number:05}" for number in range(jobs)]
    for first in range(0, jobs, 1000):
        await store.submit(pool, [Submission(id, "source-3", "{}") for id in ids[first : first + 1000]])
        await store.take_of_sources(pool, [Take("source-3", 1000)])
        await store.finish(pool, [Finish(id, "source-3") for id in ids[first : first + 1000]])


async def indexes(connection: Connection, statement: Statement) -> set[str]:
    """The indexes of the plan that our sessions make for a statement."""
    return {node["Index Name"] for node in await nodes_of_plan(connection, statement.sql) if "Index Name" in node}


@pytest.mark.parametrize("available", [0, 20_000])
async def test_takes_after_churn_with_statistics_of_an_empty_queue(pool: Pool, available: int) -> None:
    await pool.execute("ALTER TABLE job SET (autovacuum_enabled = off)")
    await fill(pool, _DONE)
    await pool.execute("VACUUM ANALYZE job")
    await churn(pool, 10_000)
    await fill(
        pool,
        "INSERT INTO job (id, source, document) "
        "SELECT 'new-' || n, 'source-' || n % 20, '{}' FROM generate_series(1, $1::int) AS n",
        available,
    )
    async with pool.acquire() as connection:
        used = {statement.name: await indexes(connection, statement) for statement, _ in TAKES}
    assert used == {statement.name: wanted for statement, wanted in TAKES}
