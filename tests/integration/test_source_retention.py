"""Sources that keep their done jobs for a time of their own."""

import asyncio
import logging
from collections.abc import Mapping

import pytest

from boss.dispatch.history import History
from boss.model.job import Finish, Submission
from boss.model.source_rule import SourceRule
from boss.postgres import store
from boss.postgres.connection import Pool, connected
from boss.postgres.migrate import migrate
from boss.postgres.statement import MOVE_LOCK
from tests.helpers.clock import Clock
from tests.helpers.servers import PATIENCE
from tests.helpers.volumes import assert_counts_are_right, waits

DAYS = 30
# The sources with their own times, in days.
KEEPS = {"short": 1.0, "long": 365.0, "also-long": 400.0}
SOURCES = (*KEEPS, "freg")


async def keep_for(pool: Pool, keeps: Mapping[str, float]) -> None:
    """Let sources keep their done jobs for so many days."""
    for source, days in keeps.items():
        await store.set_source_rule(pool, SourceRule(source, keep_done=days), None)


@pytest.fixture
async def ruled(pool: Pool) -> Pool:
    await keep_for(pool, KEEPS)
    return pool


async def done(pool: Pool, days: float, *, volume: int | None = None, jobs: int = 2) -> None:
    """Jobs of each source, which were done so many days ago, in a volume or in none."""
    ids = {f"{source}-{days:g}-{number}": source for source in SOURCES for number in range(jobs)}
    await store.submit(pool, [Submission(id, source, "{}") for id, source in ids.items()])
    await store.finish(pool, [Finish(id, source) for id, source in ids.items()])
    await pool.execute(
        "UPDATE job SET finished_at = now() - $1 * interval '1 day' WHERE id = ANY($2::text[])", days, list(ids)
    )
    if volume:
        assert (await store.move_done(pool, volume, list(ids))).jobs == len(ids)


async def kept(pool: Pool) -> list[tuple[str, float]]:
    """The sources and ages of the jobs that are left."""
    rows = await pool.fetch(
        "SELECT DISTINCT source, round(extract(epoch FROM now() - finished_at) / 86400, 1)::float8 AS days FROM job"
    )
    return sorted((row["source"], row["days"]) for row in rows)


async def volumes_of(pool: Pool, source: str) -> set[str]:
    rows = await pool.fetch("SELECT DISTINCT tableoid::regclass::text AS name FROM job WHERE source = $1", source)
    return {row["name"] for row in rows}


@pytest.mark.parametrize("volume", [None, 1, 8])
async def test_each_source_keeps_its_jobs_for_its_time(ruled: Pool, volume: int | None) -> None:
    for days in (0.5, 5, 100, 500):
        await done(ruled, days, volume=volume)
    await History(ruled, DAYS, KEEPS).keep()
    assert await kept(ruled) == sorted(
        [
            *(("also-long", days) for days in (0.5, 5.0, 100.0)),
            *(("long", days) for days in (0.5, 5.0, 100.0)),
            *(("freg", days) for days in (0.5, 5.0)),
            ("short", 0.5),
        ]
    )
    await assert_counts_are_right(ruled)


async def test_others_are_kept_for_ever(ruled: Pool) -> None:
    for volume, days in ((1, 0.5), (2, 5), (3, 500)):
        await done(ruled, days, volume=volume)
    await History(ruled, None, KEEPS).keep()
    assert await kept(ruled) == sorted(
        [
            *((source, days) for source in ("also-long", "long") for days in (0.5, 5.0)),
            *(("freg", days) for days in (0.5, 5.0, 500.0)),
            ("short", 0.5),
        ]
    )
    await assert_counts_are_right(ruled)


async def test_no_volume_is_emptied_with_jobs_that_are_still_kept(ruled: Pool) -> None:
    """Not even by a replica that does not know the rules yet."""
    await done(ruled, 100, volume=1)
    assert await store.empty_volume(ruled, 1, DAYS * 86400) == 0
    await ruled.execute("UPDATE job SET finished_at = finished_at - interval '400 days'")
    assert await store.empty_volume(ruled, 1, DAYS * 86400) == 8
    await assert_counts_are_right(ruled)


async def test_jobs_that_are_kept_for_longer_have_a_volume_of_their_own(ruled: Pool) -> None:
    for days in (0.5, 20):
        await done(ruled, days)
    await History(ruled, DAYS, KEEPS).keep()
    for source in ("long", "also-long"):
        assert await volumes_of(ruled, source) == {"job_done_8"}
    assert not await volumes_of(ruled, "freg") & {"job", "job_done_8"}
    assert not await volumes_of(ruled, "short") & {"job", "job_done_8"}
    await assert_counts_are_right(ruled)


async def test_without_them_that_volume_is_as_the_others(pool: Pool) -> None:
    await done(pool, 5)
    await History(pool, DAYS, {"short": 1.0}).keep()
    assert {*await volumes_of(pool, "freg"), *await volumes_of(pool, "long")} == {"job_done_8"}


async def test_a_rule_that_comes_later_applies_to_what_was_looked_at_before(pool: Pool) -> None:
    for days in (5, 100):
        await done(pool, days, volume=1)
    keeps: dict[str, float] = {"short": 1.0}
    await keep_for(pool, keeps)
    history = History(pool, None, keeps)
    await history.keep()
    assert ("freg", 100.0) in await kept(pool)
    keeps["freg"] = 1.0
    await keep_for(pool, keeps)
    await history.keep()
    assert await kept(pool) == [(source, days) for source in ("also-long", "long") for days in (5.0, 100.0)]
    await done(pool, 3, volume=2)
    keeps["long"] = 50.0
    await keep_for(pool, keeps)
    await history.keep()
    assert await kept(pool) == [
        ("also-long", 3.0),
        ("also-long", 5.0),
        ("also-long", 100.0),
        ("long", 3.0),
        ("long", 5.0),
    ]


_AT_ONE_MOMENT = """
INSERT INTO job (id, position, source, document, status, outcome, finished_at)
SELECT 'id-' || n, n, CASE WHEN n % 2 = 0 THEN 'short' ELSE 'freg' END, '{}', 'DONE', 'completed',
       now() - interval '5 days'
FROM generate_series(1, 7000) AS n
"""


async def test_many_that_were_done_at_one_moment(ruled: Pool) -> None:
    """As by SQL: more than one statement looks at, of several sources."""
    await ruled.execute(_AT_ONE_MOMENT)
    await History(ruled, None, {"short": 1.0}).keep()
    assert await kept(ruled) == [("freg", 5.0)]
    assert await ruled.fetchval("SELECT count(*) FROM job") == 3500
    await assert_counts_are_right(ruled)


async def test_a_job_that_is_available_again_is_left(ruled: Pool) -> None:
    await done(ruled, 5, volume=1)
    await ruled.execute("UPDATE job SET status = 'AVAILABLE' WHERE id = 'short-5-0'")
    await History(ruled, None, {"short": 1.0}).keep()
    assert await ruled.fetchval("SELECT status FROM job WHERE source = 'short'") == "AVAILABLE"


async def file_of(pool: Pool, volume: int) -> int:
    """The file of a volume, which is another one after it was emptied as a whole."""
    file: int = await pool.fetchval("SELECT pg_relation_filenode($1::regclass)", f"job_done_{volume}")
    return file


async def test_volumes_are_emptied_as_a_whole_although_a_source_keeps_its_jobs_for_longer(ruled: Pool) -> None:
    """Also those that had jobs of that source before it had its rule."""
    for days in (28, 33):
        await done(ruled, days, volume=1)
    history, file = History(ruled, DAYS, KEEPS), await file_of(ruled, 1)
    await history.keep()
    # None of the others is deleted one by one.
    assert ("freg", 33.0) in await kept(ruled)
    assert await file_of(ruled, 1) == file
    assert await volumes_of(ruled, "long") | await volumes_of(ruled, "also-long") == {"job_done_8"}
    await assert_counts_are_right(ruled)
    await ruled.execute("UPDATE job SET finished_at = finished_at - interval '3 days'")
    await history.keep()
    assert await file_of(ruled, 1) != file
    assert await kept(ruled) == [(source, days) for source in ("also-long", "long") for days in (31.0, 36.0)]
    await assert_counts_are_right(ruled)


async def test_others_beside_jobs_that_are_kept_for_longer_are_deleted_one_by_one(ruled: Pool) -> None:
    """No volume can be emptied for them: up to a sixth later, as elsewhere."""
    for days in (33, 36):
        await done(ruled, days, volume=8)
    await History(ruled, DAYS, KEEPS).keep()
    assert await kept(ruled) == sorted(
        [*((source, days) for source in ("also-long", "long") for days in (33.0, 36.0)), ("freg", 33.0)]
    )
    await assert_counts_are_right(ruled)


@pytest.mark.parametrize("volume", [None, 1])
async def test_the_rule_at_the_time_of_the_delete_counts(pool: Pool, volume: int | None) -> None:
    """Not the one that this replica knows."""
    await done(pool, 100, volume=volume)
    await keep_for(pool, {"short": 365.0, "long": 365.0})
    await History(pool, DAYS, {"short": 1.0, "gone": 400.0}).keep()
    assert {source for source, _ in await kept(pool)} >= {"short", "long"}
    await assert_counts_are_right(pool)


async def test_a_volume_is_not_emptied_by_the_rule_of_before_a_wait(pool: Pool) -> None:
    await done(pool, 100, volume=1)
    async with pool.acquire() as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock($1)", MOVE_LOCK)
        emptying = asyncio.create_task(store.empty_volume(pool, 1, DAYS * 86400))
        waiting = asyncio.create_task(waits(pool, "%empty_volume%"))
        await asyncio.wait([emptying, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        await keep_for(pool, {"long": 365.0})
    assert await emptying == 0
    assert ("long", 100.0) in await kept(pool)


async def test_a_volume_is_not_emptied_for_a_reader_that_does_not_see_where_its_jobs_went(ruled: Pool) -> None:
    """As a dump, which has begun and has not opened the volume yet."""
    await done(ruled, 31, volume=1)
    history = History(ruled, DAYS, KEEPS)
    async with ruled.acquire() as reader, reader.transaction(isolation="repeatable_read"):
        await reader.fetch("SELECT FROM source_rule")
        for _ in range(2):
            await history.keep()
        assert await volumes_of(ruled, "long") == {"job_done_8"}
        assert await reader.fetchval("SELECT count(*) FROM job WHERE source = 'long'") == 2
    await history.keep()
    assert {source for source, _ in await kept(ruled)} == {"long", "also-long"}


async def test_a_pass_ends_after_a_time_and_goes_on_later(ruled: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has to be moved does not wait for all of it."""
    monkeypatch.setattr("boss.dispatch.source_retention._LONGEST_PASS_S", 0.0)
    monkeypatch.setattr("boss.dispatch.source_retention._LOOK_ROWS", 4)
    history = History(ruled, None, {"short": 1.0})
    for days in range(20, 10, -1):
        await done(ruled, days, volume=1)
    left: list[int] = []
    while not left or left[-1]:
        await history.keep()
        left.append(await ruled.fetchval("SELECT count(*) FROM job WHERE source = 'short'"))
    assert left == sorted(left, reverse=True)
    assert len(left) >= 10


async def test_a_job_that_is_locked_holds_up_no_other(ruled: Pool, caplog: pytest.LogCaptureFixture) -> None:
    await done(ruled, 5, volume=1)
    history = History(ruled, None, {"short": 1.0})
    async with ruled.acquire() as other, other.transaction():
        await other.execute("SELECT FROM job_done_1 WHERE id = 'short-5-0' FOR UPDATE")
        with caplog.at_level(logging.WARNING):
            await asyncio.wait_for(history.keep(), 8)
        assert caplog.text == ""
        assert await ruled.fetchval("SELECT array_agg(id) FROM job WHERE source = 'short'") == ["short-5-0"]
    await history.keep()
    assert not await volumes_of(ruled, "short")


async def test_what_is_done_at_one_moment_is_looked_at_once(ruled: Pool) -> None:
    """It took as many looks as it has batches, each at all of the jobs."""
    await ruled.execute(_AT_ONE_MOMENT.replace("INTO job", "INTO job_done_1"))
    await History(ruled, None, {"short": 1.0}).keep()
    assert await kept(ruled) == [("freg", 5.0)]
    # What a session has read is known to others when it ends, at the latest.
    await ruled.expire_connections()
    read = "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'job_done_1_finished_at_idx'"
    for _ in range(int(PATIENCE * 100)):
        if entries := await ruled.fetchval(read):
            break
        await asyncio.sleep(0.01)
    assert 0 < entries < 3 * 7000


_REFERENCE = """
CREATE TABLE mine (job varchar(64) REFERENCES job (id));
INSERT INTO mine SELECT 'short-5-0' UNION ALL SELECT 'freg-50-0'
"""


async def test_a_job_that_another_table_refers_to_holds_up_no_other(
    ruled: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    for days in (5, 50):
        await done(ruled, days)
    await ruled.execute(_REFERENCE)
    history = History(ruled, DAYS, {"short": 1.0})
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await history.keep()
    assert await ruled.fetchval("SELECT array_agg(id) FROM job WHERE source = 'short'") == ["short-5-0"]
    assert await ruled.fetchval("SELECT array_agg(id) FROM job WHERE id LIKE 'freg-50-%'") == ["freg-50-0"]
    for id in ("short-5-0", "freg-50-0"):
        assert caplog.text.count(f"1 old done jobs cannot be deleted, so they are kept; the first is {id}: ") == 1
    await assert_counts_are_right(ruled)


@pytest.mark.without_schema
def test_jobs_that_come_with_an_old_finish_are_deleted_within_a_day(database: str) -> None:
    """As by an import, or with a clock that is set back."""
    with Clock(database) as clock, asyncio.Runner() as runner:
        context = connected(database)
        pool = runner.run(context.__aenter__())
        runner.run(migrate(pool))
        runner.run(keep_for(pool, {"short": 1.0}))
        history = History(pool, None, {"short": 1.0})
        runner.run(done(pool, 5, volume=1))
        runner.run(history.keep())
        runner.run(done(pool, 9, volume=1))
        clock.move(24 * 3600)
        runner.run(history.keep())
        assert not runner.run(volumes_of(pool, "short"))
        runner.run(context.__aexit__(None, None, None))
