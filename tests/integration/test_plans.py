"""Statements that find jobs by their ids read those jobs and no others, whatever PostgreSQL's statistics say.

A plan is made when a session first runs a statement, and is kept. The statistics may be wrong then: of a table that was
emptied, or was empty, or was never analysed. So these tests count what is really read.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import cast

import pytest

from boss.model.finding import JobFilter, Place
from boss.model.job import After, Check, Finish, GiveBack, Job, Note, Outcome, State, Submission, Take, Taken
from boss.model.scan_cursor import ScanCursor
from boss.postgres import store
from boss.postgres.connection import Connection, Pool, fetch
from boss.postgres.diagnosis import LEFT_BEHIND
from boss.postgres.gathering import gather_statement
from boss.postgres.retention import DELETE_OLD, OLDEST, PRUNE_BY
from boss.postgres.scan_cursors import HEADS
from tests.helpers.postgres import fill

pytestmark = pytest.mark.every_postgres

SOME = 20
MANY = 6000

_At = datetime(2020, 1, 1, tzinfo=UTC)
_ACTIVE = [f"active-{number}" for number in range(SOME)]
_DONE = [f"done-{number}" for number in range(SOME)]
_READY = [f"ready-{number}" for number in range(SOME)]
_MOVED = [f"moved-{number}" for number in range(SOME)]
_KEYS = [f"key-{number}" for number in range(SOME)]
_AGES = _At - timedelta(days=1), datetime(2100, 1, 1, tzinfo=UTC)
_COLUMNS = "id, source, document, status, position, finished_at"

# A third of the jobs is in each state; those active have a key and a lease.
_FILL = f"""
INSERT INTO job (id, source, document, status, attempt, taken_at, seen_at, lease, lease_until, take_key, finished_at)
SELECT lower(kind) || '-' || n, 'freg', '{{}}', CASE kind WHEN 'ready' THEN 'AVAILABLE' ELSE upper(kind) END, 1,
       '{_At}', '{_At}', 60, CASE kind WHEN 'active' THEN now() + interval '1 hour' END,
       CASE kind WHEN 'active' THEN 'key-' || n END, CASE kind WHEN 'done' THEN now() + n * interval '1 microsecond' END
FROM generate_series(0, {MANY // 3 - 1}) AS n, unnest('{{ready,active,done}}'::text[]) AS kind
"""
# As many in each of three volumes.
_FILL_VOLUMES = [
    f"""
INSERT INTO job_done_{volume} (id, source, document, status, position, finished_at)
SELECT 'moved-' || n, 'freg', '{{}}', 'DONE', n, now() FROM generate_series({volume}, {MANY}, 3) AS n
"""
    for volume in range(1, 4)
]
# As many as make the queue look like nothing beside them.
_HISTORY = """
INSERT INTO job (id, source, document, status, finished_at)
SELECT 'history-' || n, (ARRAY['freg', 'a', 'b'])[n % 3 + 1], '{}', 'DONE', now() - n * interval '1 microsecond'
FROM generate_series(1, 30000) AS n
"""
# Entries of indexes, and rows of the table that were read without one; it grows within a transaction.
_READ_SO_FAR = """
SELECT sum(pg_stat_get_xact_tuples_returned(read))::bigint
FROM (WITH tables AS (SELECT 'job'::regclass AS oid
                      UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = 'job'::regclass)
      SELECT indexrelid AS read FROM pg_index WHERE indrelid IN (SELECT oid FROM tables)
      UNION ALL SELECT oid FROM tables) AS of_job
"""


def _taken(id: str) -> Taken:
    return Taken(Job(id, "freg", State.ACTIVE, "{}", 1), 60, _At, 0, 1)


async def _rate_waits(pool: Pool) -> None:
    await pool.execute("INSERT INTO source_rule (source, rate) VALUES ('a', 1), ('freg', 1)")
    await pool.execute("INSERT INTO rate_used VALUES ('a', now()), ('freg', now())")
    await store.rate_waits(pool, ["a", "freg"])


STATEMENTS: dict[str, Callable[[Pool], Awaitable[object]]] = {
    "submit": lambda pool: store.submit(pool, [Submission(f"new-{id}", "freg", "{}") for id in _READY]),
    "submit with made ids": lambda pool: store.submit(
        pool, [Submission(f"made-{id}", "freg", "{}", is_made=True) for id in _READY]
    ),
    "submit again": lambda pool: store.submit(pool, [Submission(id, "freg", "{}") for id in _READY]),
    "finish": lambda pool: store.finish(pool, [Finish(id, "freg") for id in _ACTIVE]),
    "give back": lambda pool: store.give_back(pool, [GiveBack(id, "freg") for id in _ACTIVE]),
    "give back by rules": lambda pool: store.give_back(
        pool, [GiveBack(id, "freg") for id in _ACTIVE], {"freg": (1.0, 2.0)}
    ),
    "check": lambda pool: store.check(pool, [Check(id, "freg") for id in _ACTIVE]),
    "leave notes": lambda pool: store.leave_notes(pool, [Note(id, "freg", None, "{}") for id in _ACTIVE]),
    "read": lambda pool: store.read(pool, _ACTIVE),
    "locate": lambda pool: store.locate(pool, _ACTIVE),
    "find": lambda pool: store.find(pool, "active-7"),
    "place in queue": lambda pool: store.place_in_queue(pool, "ready-1", SOME),
    "take": lambda pool: store.take(pool, [Take(None)] * SOME),
    "take one": lambda pool: store.take(pool, [Take(None)]),
    "take of sources": lambda pool: store.take_of_sources(pool, [Take("freg")] * SOME),
    "take of a source without jobs": lambda pool: store.take_of_sources(pool, [Take("a")] * SOME),
    "take past marks": lambda pool: store.take(pool, [Take(None)] * SOME, [ScanCursor(None, 0, 1)]),
    "take of sources past marks": lambda pool: store.take_of_sources(
        pool, [Take("freg"), Take("a")] * SOME, [ScanCursor("freg", 0, 1), ScanCursor("a", 0, 1)]
    ),
    "any ready": lambda pool: store.any_ready(pool, None),
    "any ready of a source": lambda pool: store.any_ready(pool, "a"),
    "any allowed": lambda pool: store.any_allowed(pool, ["a"]),
    "pending_work": lambda pool: store.pending_work(pool, {"a": SOME, "freg": SOME, None: SOME}),
    "heads": lambda pool: fetch(pool, HEADS, ["a"]),
    "greatest_ids": lambda pool: store.greatest_ids(pool, SOME),
    "failed": lambda pool: store.failed(pool, SOME),
    "take many": lambda pool: store.take(pool, [Take(None, 100)]),
    "take many of a source": lambda pool: store.take_of_sources(pool, [Take("freg", 100)]),
    "take by address": lambda pool: store.take_by_address(pool, False, [(id, Take("freg")) for id in _READY]),
    "take by address and rules": lambda pool: store.take_by_address(pool, True, [(id, Take("freg")) for id in _READY]),
    "take by key": lambda pool: store.take_by_key(pool, [Take(None, key="k")]),
    "take of source by key": lambda pool: store.take_of_sources_by_key(pool, [Take("freg", key="k")]),
    "take by rules": lambda pool: store.take_within_limits(pool, [Take("freg")] * SOME, []),
    "take by rules and key": lambda pool: store.take_within_limits(pool, [Take("freg", key="k")], []),
    "take of several by key": lambda pool: store.take_of_several(
        pool, [Take(None, sources=("a", "freg"), key="k")], []
    ),
    "take of several": lambda pool: store.take_of_several(pool, [Take(None, sources=("a", "freg"))] * SOME, []),
    "take again": lambda pool: store.take_again(pool, _KEYS),
    "undo_takes": lambda pool: store.undo_takes(pool, [_taken(id) for id in _ACTIVE]),
    "set aside": lambda pool: store.set_aside(pool, _READY),
    "list": lambda pool: store.list_jobs(pool, None, None, "ready-5", SOME),
    "list active": lambda pool: store.list_jobs(pool, State.ACTIVE, None, "active-5", SOME),
    "survey": store.survey,
    "count history": store.count_history,
    "recent": store.recent,
    "make due": lambda pool: store.make_due(pool, SOME),
    "submit after": lambda pool: store.submit_after(
        pool, [Submission("new", "freg", "{}")], After((*_READY[:10], *_DONE[:10], *_MOVED[:10]), None)
    ),
    "record missed ends": lambda pool: store.record_missed_ends(pool, "", SOME),
    "release dependents": lambda pool: store.release_dependents(pool, SOME),
    "unmet": lambda pool: store.unmet(pool, "ready-1", SOME),
    "submit what expires": lambda pool: store.submit(pool, [Submission("new", "freg", "{}", expires=60)]),
    "expire": lambda pool: store.expire(pool, SOME),
    "end leases": lambda pool: store.end_leases(pool, SOME, 1e9),
    "look at done": lambda pool: store.look_at_done(pool, store.JOB, _AGES, SOME, ["freg"], others=False),
    "delete old": lambda pool: fetch(pool, DELETE_OLD, _DONE, -60.0),
    "delete old in volumes": lambda pool: fetch(pool, DELETE_OLD, _MOVED, -60.0),
    "oldest": lambda pool: fetch(pool, OLDEST, -60.0, SOME, ["done-1"]),
    "sources in volumes": store.sources_in_volumes,
    "done of source": lambda pool: store.done_of_source(pool, 1, "freg", "moved-5", SOME),
    "done of a source without jobs": lambda pool: store.done_of_source(pool, 1, "a", "", SOME),
    "gather": lambda pool: fetch(pool, gather_statement(1, 3, _COLUMNS), _MOVED),
    "rate waits": _rate_waits,
    "walk done": lambda pool: store.walk_done(pool, JobFilter(State.DONE), Place(_At), SOME),
    "walk failed": lambda pool: store.walk_done(pool, JobFilter(State.DONE, outcome=Outcome.FAILED), None, SOME),
    "sort few": lambda pool: store.sort_few(pool, JobFilter(), None, SOME, [("c", State.DONE), ("b", State.ACTIVE)]),
    "records": lambda pool: store.records(pool, _ACTIVE),
    "walk open": lambda pool: store.walk_open(pool, State.ACTIVE, "freg", "active-5", SOME),
    "walk open of a source without jobs": lambda pool: store.walk_open(pool, State.ACTIVE, "a", "", SOME),
    "redo": lambda pool: store.redo_many(pool, store.Batch("freg", _DONE, None, None, "{}")),
    "delete": lambda pool: store.delete(pool, store.Batch("freg", _DONE, None, None, "{}")),
    "prune by": lambda pool: fetch(pool, PRUNE_BY, -60.0, [*_DONE, *_MOVED], None, None),
    "move done": lambda pool: store.move_done(pool, 3, [f"done-{number}" for number in range(SOME)]),
    "oldest done": lambda pool: store.oldest_done(pool, SOME, ["done-1"]),
    "date done": lambda pool: store.date_done(pool, SOME),
    "left behind": lambda pool: fetch(pool, LEFT_BEHIND),
    "volumes": store.list_volumes,
    "counted empty": store.counted_empty,
    "find moved": lambda pool: store.find(pool, "moved-7"),
    "locate moved": lambda pool: store.locate(pool, _MOVED),
    "submit moved": lambda pool: store.submit(pool, [Submission(id, "freg", "{}") for id in _MOVED]),
    "list done": lambda pool: store.list_jobs(pool, State.DONE, None, "moved-5", SOME),
    "prunable": lambda pool: store.prunable(pool, -60, SOME),
}
# A few entries for each job: those of what is rolled back here are still there.
MOST = 500


async def read_by(connection: Connection, run: Callable[[Pool], Awaitable[object]]) -> int:
    """How many entries and rows it reads, of the table as it is."""
    transaction = connection.transaction()
    await transaction.start()
    before = await connection.fetchval(_READ_SO_FAR)
    await run(cast(Pool, connection))
    read: int = await connection.fetchval(_READ_SO_FAR) - before
    await transaction.rollback()
    return read


async def plan_all(connection: Connection) -> None:
    for run in STATEMENTS.values():
        await read_by(connection, run)


@pytest.mark.parametrize(
    ("analyzed", "planned"),
    # Statistics of a full table are younger than a plan that was made while it was empty.
    [
        each
        for each in product(("never", "empty", "only done", "full", "full, and emptied"), ("empty", "full"))
        if each != ("full", "empty")
    ],
)
async def test_what_is_read_does_not_depend_on_statistics(pool: Pool, analyzed: str, planned: str) -> None:
    await pool.execute("ALTER TABLE job SET (autovacuum_enabled = off)")
    if analyzed == "empty":
        await pool.execute("VACUUM ANALYZE job")
    if analyzed == "only done":
        await fill(pool, _HISTORY)
        await pool.execute("VACUUM ANALYZE job")
    if analyzed == "full, and emptied":
        await fill(pool, _FILL)
        await pool.execute("VACUUM ANALYZE job")
        await pool.execute("TRUNCATE job")
    async with pool.acquire() as connection:
        if planned == "empty":
            await plan_all(connection)
        for filling in (_FILL, *_FILL_VOLUMES):
            await fill(pool, filling)
        if analyzed == "full":
            await pool.execute("VACUUM ANALYZE job")
            await pool.execute("VACUUM ANALYZE job_done_1")
        read = {name: await read_by(connection, run) for name, run in STATEMENTS.items()}
    assert {name: count for name, count in read.items() if count > MOST} == {}
