"""Sources that keep their done jobs for a time of their own."""

import pytest

from boss.dispatch.history import History
from boss.model.job import Finish, Submission
from boss.model.source_rule import SourceRule
from boss.postgres import store
from boss.postgres.connection import Pool
from tests.helpers.volumes import assert_counts_are_right

DAYS = 30
# The sources with their own times, in days.
KEEPS = {"short": 1.0, "long": 365.0, "also-long": 400.0}
SOURCES = (*KEEPS, "freg")


@pytest.fixture
async def ruled(pool: Pool) -> Pool:
    for source, days in KEEPS.items():
        await store.set_source_rule(pool, SourceRule(source, keep_done=days), None)
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
    history = History(pool, None, keeps)
    await history.keep()
    assert ("freg", 100.0) in await kept(pool)
    keeps["freg"] = 1.0
    await history.keep()
    assert await kept(pool) == [(source, days) for source in ("also-long", "long") for days in (5.0, 100.0)]
    await done(pool, 3, volume=2)
    keeps["long"] = 50.0
    await history.keep()
    assert await kept(pool) == [
        ("also-long", 3.0),
        ("also-long", 5.0),
        ("also-long", 100.0),
        ("long", 3.0),
        ("long", 5.0),
    ]


async def test_many_that_were_done_at_one_moment(pool: Pool) -> None:
    """As by SQL: more than one statement looks at, of several sources."""
    await pool.execute(
        "INSERT INTO job (id, source, document, status, outcome, finished_at) "
        "SELECT 'id-' || n, CASE WHEN n % 2 = 0 THEN 'short' ELSE 'freg' END, '{}', 'DONE', 'completed', "
        "       now() - interval '5 days' FROM generate_series(1, 7000) AS n"
    )
    await History(pool, None, {"short": 1.0}).keep()
    assert await kept(pool) == [("freg", 5.0)]
    assert await pool.fetchval("SELECT count(*) FROM job") == 3500
    await assert_counts_are_right(pool)


async def test_a_job_that_is_available_again_is_left(pool: Pool) -> None:
    await done(pool, 5, volume=1)
    await pool.execute("UPDATE job SET status = 'AVAILABLE' WHERE id = 'short-5-0'")
    await History(pool, None, {"short": 1.0}).keep()
    assert await pool.fetchval("SELECT status FROM job WHERE source = 'short'") == "AVAILABLE"
