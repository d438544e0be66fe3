"""The history of sources: what each did, by minutes and by ten minutes."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from boss.model.history import Series, Span, series
from boss.model.job import Finish, Outcome, Submission, Take
from boss.postgres import store
from boss.postgres.connection import Pool

pytestmark = pytest.mark.every_postgres

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def pool(pool: Pool) -> Pool:
    """The pool, where the minute that is counted stays the same for some time: it changes two seconds after each."""
    for _ in range(1000):
        if await pool.fetchval("SELECT extract(second FROM now() - interval '2 s') < 40"):
            return pool
        await asyncio.sleep(0.1)
    pytest.fail("the clock stands still")


async def of(pool: Pool, source: str, span: Span = Span.HOUR) -> Series:
    """The history of one source; of all together for ''."""
    kept = await store.history(pool, [source], span.seconds, span.length)
    return series(kept.parts, {source: kept.waiting.get(source, 0)}, span, kept.now)


def last(found: Series) -> dict[str, object]:
    """Its last part, without the time."""
    return {name: values[-1] for name, values in found._asdict().items() if name != "at"}


async def a_minute_later(pool: Pool) -> None:
    """Let everything that was counted be a minute older, and everything that has ended be of the last full minute."""
    await pool.execute("UPDATE source_history SET start = start - interval '1 minute' WHERE seconds = 60")
    await pool.execute("UPDATE source_level SET minute = minute - interval '1 minute', at = at - interval '1 minute'")


async def finish(pool: Pool, source: str, jobs: int, outcome: Outcome = Outcome.COMPLETED) -> None:
    """Finish so many jobs of a source; they ran for a second, and have waited for four."""
    taken, *_ = await store.take_of_sources(pool, [Take(source, jobs)])
    ids = [each.job.id for [*some] in taken for each in some]
    assert len(ids) == jobs
    await pool.execute("UPDATE job SET submitted_at = now() - interval '9 s' WHERE id = ANY($1)", ids)
    await store.finish(pool, [Finish(id, source, outcome=outcome) for id in ids])
    # Since the minute before was counted, and in the minute that is counted next.
    await pool.execute(
        "UPDATE job SET finished_at = greatest(date_trunc('minute', now() - interval '2 s') - interval '1 s', "
        "    coalesce((SELECT max(at) FROM source_level), '-infinity')) WHERE id = ANY($1)",
        ids,
    )
    await pool.execute(
        "UPDATE job SET taken_at = finished_at - interval '1 s', submitted_at = finished_at - interval '5 s' "
        "WHERE id = ANY($1)",
        ids,
    )


async def submit(pool: Pool, source: str, jobs: int, delay: float = 0) -> None:
    """Submit so many jobs of a source."""
    made = await pool.fetchval("SELECT count(*) FROM job")
    await store.submit(pool, [Submission(f"{source}-{made + n}", source, "{}", delay=delay) for n in range(jobs)])


async def test_what_came_and_went_in_a_minute(pool: Pool) -> None:
    await store.count_history(pool)
    await a_minute_later(pool)
    await submit(pool, "a", 10)
    await submit(pool, "a", 3, delay=1000)
    await finish(pool, "a", 4)
    await finish(pool, "a", 2, Outcome.FAILED)
    await submit(pool, "b", 5)
    minute = await store.count_history(pool)
    assert minute is not None
    for times, seconds in ((minute.waits, 4), (minute.runs, 1)):
        assert sum(times.jobs) == 6
        assert times.seconds == pytest.approx(6 * seconds, rel=0.01)
    about = {"wait_median": pytest.approx(4, rel=0.1), "wait_p95": pytest.approx(4, rel=0.1)}
    about |= {"run_median": pytest.approx(1, rel=0.1), "run_p95": pytest.approx(1, rel=0.1)}
    assert last(await of(pool, "a")) == {"submitted": 13, "done": 6, "failed": 2, "waiting": 4} | about
    nothing = dict.fromkeys(about)
    assert last(await of(pool, "b")) == {"submitted": 5, "done": 0, "failed": 0, "waiting": 5} | nothing
    assert last(await of(pool, "none")) == {"submitted": 0, "done": 0, "failed": 0, "waiting": 0} | nothing
    assert last(await of(pool, "")) == {"submitted": 18, "done": 6, "failed": 2, "waiting": 9} | about
    assert (await of(pool, "a")).done[-3] is None  # nobody counted it


async def test_a_redone_job_that_ends_without_a_take_has_no_times(pool: Pool) -> None:
    await submit(pool, "a", 2)
    await finish(pool, "a", 2)
    await pool.execute(
        "UPDATE job SET taken_at = taken_at - interval '1 hour', "
        """    history = '[{"attempt": 1, "how": "failed"}]' WHERE id = 'a-0'"""
    )
    minute = await store.count_history(pool)
    assert minute is not None
    for times, seconds in ((minute.waits, 4), (minute.runs, 1)):
        assert sum(times.jobs) == 1
        assert times.seconds == pytest.approx(seconds, rel=0.01)
    assert last(await of(pool, "a"))["done"] == 2


async def test_what_does_nothing_has_no_row_and_still_waits(pool: Pool) -> None:
    await submit(pool, "a", 3)
    for _ in range(4):
        await store.count_history(pool)
        await a_minute_later(pool)
    await store.count_history(pool)
    assert await pool.fetchval("SELECT count(*) FROM source_history WHERE source = 'a'") == 0
    found = await of(pool, "a")
    assert found.waiting[-5:] == [3, 3, 3, 3, 3]
    assert found.submitted[-5:] == [0, 0, 0, 0, 0]
    await a_minute_later(pool)
    await finish(pool, "a", 3)
    await store.count_history(pool)
    assert (await of(pool, "a")).waiting[-3:] == [3, 3, 0]
    assert (await of(pool, "")).waiting[-3:] == [3, 3, 0]
    assert await pool.fetchval("SELECT count(*) FROM source_level WHERE source <> ''") == 0


async def test_deleted_jobs_did_not_come(pool: Pool) -> None:
    await submit(pool, "a", 5)
    await finish(pool, "a", 3)
    await store.count_history(pool)
    await a_minute_later(pool)
    await submit(pool, "a", 2)
    assert (await store.prune_by(pool, -600, 10, None, None)).jobs == 3
    await store.count_history(pool)
    assert (await of(pool, "a")).submitted[-1] == 2


async def test_a_minute_is_counted_once(pool: Pool) -> None:
    await store.count_history(pool)
    await a_minute_later(pool)
    await submit(pool, "a", 3)
    counted = await asyncio.gather(*(store.count_history(pool) for _ in range(8)))
    assert [each is not None for each in counted].count(True) <= 2  # one that began before the first had ended
    assert last(await of(pool, "a"))["submitted"] == 3
    await a_minute_later(pool)
    await store.count_history(pool)
    assert (await of(pool, "a")).submitted[-2:] == [3, 0]


async def test_ten_minutes_are_the_sum_of_their_minutes(pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO source_history "
        "SELECT 60, date_bin('10 minutes', now(), 'epoch') - n * interval '1 minute', source, n, 2, 1, 20 - n, 19 - n, "
        "       '{4,8}', ARRAY[1, n], '{5}', ARRAY[2] "
        "FROM generate_series(1, 10) AS n, unnest('{a,\"\"}'::text[]) AS source"
    )
    for _ in range(2):
        await store.count_history(pool)
        await pool.execute("UPDATE source_level SET minute = minute - interval '1 minute'")
    rows = await pool.fetch("SELECT * FROM source_history WHERE seconds = 600 ORDER BY source")
    assert [row["source"] for row in rows] == ["", "a"]
    assert dict(rows[1]) | {"start": None} == {
        "seconds": 600, "start": None, "source": "a", "submitted": 55, "done": 20, "failed": 10, "waiting": 19,
        "was_waiting": 9, "wait_buckets": [4, 8], "wait_jobs": [10, 55], "run_buckets": [5], "run_jobs": [20],
    }  # fmt: skip
    found = await of(pool, "a", Span.DAY)
    assert (len(found.at), found.done[-1], found.done[-2]) == (144, 20, None)
    assert found.at[-1] == rows[1]["start"]


async def test_what_is_old_is_deleted(pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO source_history "
        "SELECT seconds, now() - age * interval '1 hour', 'a', 1, 1, 1, 1, 1, '{}', '{}', '{}', '{}' "
        "FROM unnest('{60,600}'::int[]) AS seconds, unnest('{0.9,2,24,26}'::float8[]) AS age"
    )
    await store.count_history(pool)
    kept = await pool.fetch(
        "SELECT seconds, count(*) FROM source_history WHERE source = 'a' GROUP BY seconds ORDER BY 1"
    )
    assert [tuple(row) for row in kept] == [(60, 1), (600, 3)]


async def test_it_reads_only_what_has_just_ended(pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO job (id, source, document, status, finished_at, outcome, attempt) "
        "SELECT 'done-' || n, 'a', '{}', 'DONE', now() - interval '1 day', 'completed', 1 "
        "FROM generate_series(1, 20000) AS n"
    )
    await store.submit(pool, [Submission(f"a-{n}", "a", "{}") for n in range(3000)])
    await pool.execute("ANALYZE job")
    async with pool.acquire() as connection, connection.transaction():
        of_indexes = "sum(pg_stat_get_xact_tuples_returned(indexrelid))::int"
        read = f"SELECT {of_indexes} FROM pg_index WHERE indrelid = 'job'::regclass"
        before = await connection.fetchval(read)
        await store.count_history(connection)  # type: ignore[arg-type]
        assert await connection.fetchval(read) - before < 100


def test_a_quantile_is_right_within_a_tenth() -> None:
    from boss.model.history import quantile

    assert quantile({}, 0.5) is None
    assert quantile({40: 1}, 0.5) == pytest.approx(1.1, rel=0.1)
    assert quantile({0: 95, 40: 5}, 0.95) == pytest.approx(0.001, rel=0.2)
    assert quantile({0: 94, 40: 6}, 0.95) == pytest.approx(1.1, rel=0.1)


def test_the_last_part_is_the_last_that_was_counted() -> None:
    now = datetime(2026, 11, 27, 3, 40, 1, tzinfo=UTC)
    assert series([], {"": 0}, Span.HOUR, now).at[-1] == datetime(2026, 11, 27, 3, 39, tzinfo=UTC)
    assert len(series([], {"": 0}, Span.HOUR, now).at) == 60
