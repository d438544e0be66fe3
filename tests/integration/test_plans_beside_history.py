"""Plans beside a long history: no statement reads or sorts more than it needs, whatever PostgreSQL believes."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from boss.postgres import (
    finding,
    finishes,
    gathering,
    leases,
    lists,
    maintenance,
    notes,
    reads,
    retention,
    scan_cursors,
    source_limits,
    submits,
    takes,
    takes_by_address,
    takes_by_key,
    takes_within_limits,
    undone_takes,
    volumes,
)
from boss.postgres.connection import Pool, connected
from boss.postgres.statement import Statement
from tests.helpers.databases import filled_database
from tests.helpers.plans import nodes_of_plan

# As long ones they stay together in one process, so that each database is filled once.
pytestmark = [pytest.mark.every_postgres, pytest.mark.long]

TAKE_10 = takes.TAKE.sql.replace("$1", "array_fill(60, '{10}')")
for _number in ("$2", "$3", "$4"):
    TAKE_10 = TAKE_10.replace(_number, "'{}'")


async def plan(pool: Pool, statement: str, *settings: str) -> list[dict[str, Any]]:
    """The nodes of the plan by which PostgreSQL runs a statement in our sessions: one that knows no parameters."""
    async with pool.acquire() as connection, connection.transaction():
        for setting in settings:
            await connection.execute(f"SET LOCAL {setting}")
        return await nodes_of_plan(connection, statement)


# 200,000 done jobs, with 1,000 available ones behind them.
_LARGE = """
INSERT INTO job (id, status, source, document, attempt, finished_at)
SELECT 'done-' || n, 'DONE', 'source-' || n % 5, '{}', 1, now() FROM generate_series(1, 200000) AS n;
INSERT INTO job (id, source, document) SELECT 'job-' || n, 'source-' || n % 5, '{}' FROM generate_series(1, 1000) AS n
"""
_ANALYZE = "ANALYZE job"
_MORE_AVAILABLE = """
INSERT INTO job (id, source, document)
SELECT 'more-' || lpad(n::text, 8, '0'), 'source-' || n % 20, '{}' FROM generate_series(1, 100000) AS n
"""
# Many in every state, for the planner expects a tenth of them where a limit is a parameter.
_MORE_OF_ALL = """
INSERT INTO job (id, source, document, status, due_at, lease_until)
SELECT 'more-' || n, 'source-' || n % 5, '{}', (ARRAY['AVAILABLE', 'ACTIVE'])[1 + n % 2],
       CASE WHEN n % 4 = 0 THEN now() END, now() FROM generate_series(1, 200000) AS n
"""


@pytest.fixture
async def large(postgres: str, request: pytest.FixtureRequest) -> AsyncIterator[Pool]:
    """A database with a long history, and with what `filled` adds."""
    for url in filled_database(postgres, _LARGE, *getattr(request, "param", ())):
        async with connected(url) as pool:
            yield pool


def filled(**cases: tuple[str, ...]) -> pytest.MarkDecorator:
    """Run a test for each of these additions to the history."""
    return pytest.mark.parametrize("large", cases.values(), ids=cases.keys(), indirect=True)


@pytest.mark.slow
@filled(analyzed=(_ANALYZE,), unknown=())
async def test_the_ready_indexes_serve_the_takes_at_200000_done_rows(large: Pool) -> None:
    for statement, index in (
        (takes.TAKE, "job_ready"),
        (takes.TAKE_OF_SOURCES, "job_ready_of_source"),
        (takes.TAKE_WHAT_FITS, "job_ready"),
        (takes.TAKE_OF_SOURCES_WHAT_FITS, "job_ready_of_source"),
        (takes.TAKE_PAST_CURSORS, "job_ready"),
        (takes.TAKE_OF_SOURCES_PAST_CURSORS, "job_ready_of_source"),
        (reads.ANY_READY, "job_ready"),
        (reads.ANY_READY_OF_SOURCE, "job_ready_of_source"),
    ):
        nodes = await plan(large, statement.sql)
        kinds = {node["Node Type"] for node in nodes}
        assert index in {node.get("Index Name") for node in nodes}, nodes
        assert not {kind for kind in kinds if "Bitmap" in kind or kind == "Seq Scan"}, nodes
        # Only what was chosen is sorted, never the queue.
        sorted_by = {node["Sort Key"][0].split(".")[0] for node in nodes if "Sort" in node["Node Type"]}
        chosen = {"asked", "ready", "first", "head", "of_head", "numbered", "taken"}
        assert {re.sub(r"_\d+$", "", name) for name in sorted_by} <= chosen


@pytest.mark.slow
@pytest.mark.parametrize("cost", [1.1, 4, 400])
@filled(more=(_MORE_AVAILABLE, _ANALYZE))
async def test_no_take_sorts_the_queue_by_the_statistics_of_a_long_history(large: Pool, cost: float) -> None:
    """With 5,000,000 done jobs a take from a source read and sorted all of its 5,000 jobs."""
    # As if nearly all jobs were done: those of a state lie together then, and those of a source do not.
    for column, correlation in (("status", 1.0), ("source", 0.0)):
        for slot in range(1, 6):
            await large.execute(
                f"UPDATE pg_statistic SET stanumbers{slot} = ARRAY[{correlation}]::float4[] "
                f"WHERE starelid = 'job'::regclass AND stakind{slot} = 3 AND staattnum = "
                f"(SELECT attnum FROM pg_attribute WHERE attrelid = 'job'::regclass AND attname = '{column}')"
            )
    for statement in (takes.TAKE, takes.TAKE_OF_SOURCES, takes.TAKE_PAST_CURSORS, takes.TAKE_OF_SOURCES_PAST_CURSORS):
        nodes = await plan(large, statement.sql, f"random_page_cost = {cost}")
        used = {node["Index Name"] for node in nodes if "Index Name" in node}
        assert used <= {"job_ready", "job_ready_of_source", "job_pkey"}, (statement.name, used)


@pytest.mark.slow
# Before: as after a sudden rush, when what the planner knows is that nothing is available or active.
@filled(after=(_MORE_OF_ALL, _ANALYZE), before=(_ANALYZE, _MORE_OF_ALL), never=(_MORE_OF_ALL,))
async def test_no_statement_reads_all_jobs(large: Pool) -> None:
    for statement in (
        *(submits.SUBMIT, submits.SUBMIT_MADE, finishes.FINISH, finishes.GIVE_BACK),
        *(
            leases.CHECK,
            notes.LEAVE_NOTES,
            reads.READ,
            reads.LOCATE,
            volumes.OLDEST_DONE,
            volumes.DATE_DONE,
            volumes.LIST_VOLUMES,
        ),
        *(takes.TAKE, takes.TAKE_OF_SOURCES, takes.TAKE_WHAT_FITS, takes.TAKE_OF_SOURCES_WHAT_FITS),
        *(takes.TAKE_PAST_CURSORS, takes.TAKE_OF_SOURCES_PAST_CURSORS),
        *(undone_takes.UNDO_TAKES, finishes.SET_ASIDE, takes_by_key.TAKE_BY_KEY, takes_by_key.TAKE_OF_SOURCES_BY_KEY),
        *(takes_by_address.TAKE_BY_ADDRESS, takes_by_address.TAKE_BY_ADDRESS_WITHIN_LIMITS, takes_by_key.TAKE_AGAIN),
        *(
            takes_within_limits.TAKE_WITHIN_LIMITS,
            takes_within_limits.TAKE_BY_KEY_WITHIN_LIMITS,
            takes_within_limits.ANY_ALLOWED,
        ),
        *(takes_within_limits.TAKE_OF_SEVERAL, takes_within_limits.TAKE_OF_SEVERAL_BY_KEY),
        *(scan_cursors.HEADS, maintenance.RESUME_LEASES),
        *(lists.GREATEST_IDS, lists.LIST, lists.LIST_OF_SOME),
        *(
            maintenance.PENDING_WORK,
            maintenance.MAKE_DUE,
            leases.END_LEASES,
            retention.PRUNE_BY,
            retention.OLDEST,
            retention.PRUNABLE,
            retention.DELETE_OLD,
            *retention.LOOK_AT_DONE.values(),
            *gathering.DONE_OF_SOURCE.values(),
            gathering.gather_statement(1, 8, "id, source, document, status, finished_at"),
            source_limits.RATE_WAITS,
        ),
    ):
        nodes = await plan(large, statement.sql)
        scanned = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
        assert not {table for table in scanned if table.startswith("job")}, statement.name
        joined = {node["Node Type"] for node in nodes} & {"Hash Join", "Merge Join"}
        assert not joined, statement.name


async def test_a_take_reads_no_more_than_it_takes_however_many_are_done(large: Pool) -> None:
    async with large.acquire() as connection, connection.transaction():
        shown = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {TAKE_10}"))
    assert "rows=10" in shown
    assert "Rows Removed by Filter" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("statement", [finding.WALK_DONE, finding.WALK_FAILED], ids=lambda statement: statement.name)
@filled(analyzed=(_ANALYZE,))
async def test_a_walk_reads_the_index_of_times_and_sorts_nothing_but_what_it_has_read(
    large: Pool, statement: Statement
) -> None:
    kinds = [node["Node Type"] for node in await plan(large, statement.sql)]
    assert "Merge Append" in kinds
    assert "Seq Scan" not in kinds
    assert "Bitmap Heap Scan" not in kinds
