"""The history of sources: what each did in each minute of the last hour, and in each ten minutes of the last day.

Its cost grows with the jobs that ended in the minute that is counted, never with all done jobs. The tables are in
0019_source_history.sql.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from boss.model.history import Part
from boss.model.overview import MOST_READY, Lately, Recent
from boss.postgres.connection import Pool, fetch
from boss.postgres.queue_survey import DELAYED_AND_BLOCKED, READY_OF_SOURCE
from boss.postgres.statement import Statement

_HISTORY_LOCK = 0x626F7373_68697374  # "bosshist"
# What was counted longer ago says nothing of how many jobs came in one minute.
_LONGEST_GAP = "interval '3 minutes'"
# One histogram as two arrays, from rows with a bucket and a number of jobs.
_HISTOGRAM = """coalesce(array_agg(bucket ORDER BY bucket) FILTER (WHERE kind = '{kind}'), '{{}}') AS {kind}_buckets,
           coalesce(array_agg(jobs ORDER BY bucket) FILTER (WHERE kind = '{kind}'), '{{}}') AS {kind}_jobs"""
# A job that was redone or given back may end without another take. Its last attempt is in its history then, and its
# times were those of an end before.
_IS_ANOTHER_ATTEMPT = "(history -> -1 -> 'attempt') IS DISTINCT FROM to_jsonb(attempt)"
_HISTOGRAMS = ",\n           ".join(_HISTOGRAM.format(kind=kind) for kind in ("wait", "run"))

# No index has the time of a submit. So the jobs that came are those that ended, and those by which more are open than
# when the minute before was counted: the ledger has their number. Jobs that are deleted after they were done change
# neither. Both go by the same moments, and not by the ends of minutes. The first count after a gap knows of none.
#
# A minute is counted two seconds after its end, so that what was about to commit then has committed. One replica does
# it, and the others find it done.
COUNT_HISTORY = Statement(
    "count_history",
    f"""
WITH turn AS MATERIALIZED (
    SELECT last.minute, since, since IS NOT NULL AS is_known, least(last.minute, since) AS first,
           CASE WHEN since IS NULL THEN last.minute + interval '1 minute' ELSE now() END AS until
    FROM (SELECT date_trunc('minute', now() - interval '2 seconds') - interval '1 minute' AS minute) AS last
    LEFT JOIN (SELECT minute, CASE WHEN at > now() - {_LONGEST_GAP} THEN at END AS since
               FROM source_level
               WHERE source = '') AS before ON true
    WHERE pg_try_advisory_xact_lock($1) AND (before.minute IS NULL OR before.minute < last.minute)
), ended AS MATERIALIZED (
    SELECT job.source, job.outcome IN ('failed', 'abandoned') AS is_failed,
           finished_at >= minute AND finished_at < minute + interval '1 minute' AS is_of_minute,
           is_known AND finished_at >= since AS is_since,
           CASE WHEN attempt = 1 AND {_IS_ANOTHER_ATTEMPT}
                THEN extract(epoch FROM taken_at - submitted_at)::float8 END AS wait,
           CASE WHEN outcome <> 'stopped' AND {_IS_ANOTHER_ATTEMPT}
                THEN extract(epoch FROM finished_at - taken_at)::float8 END AS run
    FROM turn, job
    WHERE status = 'DONE' AND finished_at >= (SELECT first FROM turn) AND finished_at < (SELECT until FROM turn)
), ends AS (
    SELECT source, count(*) FILTER (WHERE is_of_minute) AS done,
           count(*) FILTER (WHERE is_of_minute AND is_failed) AS failed, count(*) FILTER (WHERE is_since) AS since
    FROM ended
    GROUP BY source
), {DELAYED_AND_BLOCKED}, levels AS (
    SELECT source, available + active AS open,
           CASE WHEN available = 0 THEN 0
                WHEN NOT (SELECT is_more FROM held_more) THEN greatest(available - held, 0)
                ELSE (SELECT CASE WHEN jobs < {MOST_READY} THEN jobs ELSE greatest(available - held, jobs) END
                      FROM ({READY_OF_SOURCE.format(source="counted.source")}) AS ready) END AS waiting
    FROM (SELECT of_source.source, available, active,
                 coalesce((SELECT sum(jobs) FROM held WHERE held.source = of_source.source), 0) AS held
          FROM (SELECT source, coalesce(sum(jobs) FILTER (WHERE status = 'AVAILABLE'), 0) AS available,
                       coalesce(sum(jobs) FILTER (WHERE status = 'ACTIVE'), 0) AS active
                FROM tally
                WHERE EXISTS (SELECT FROM turn)
                GROUP BY source) AS of_source) AS counted
), changes AS MATERIALIZED (
    SELECT source, minute,
           CASE WHEN is_known
                THEN greatest(coalesce(levels.open, 0) - coalesce(before.open, 0) + coalesce(ends.since, 0), 0)
                ELSE 0 END AS submitted,
           coalesce(ends.done, 0) AS done, coalesce(ends.failed, 0) AS failed,
           coalesce(levels.open, 0) AS open, coalesce(levels.waiting, 0) AS waiting,
           CASE WHEN is_known THEN coalesce(before.waiting, 0) ELSE coalesce(levels.waiting, 0) END AS was_waiting,
           coalesce(before.open, 0) AS was_open, coalesce(before.waiting, 0) AS level_was
    FROM turn
    CROSS JOIN (levels
                FULL JOIN (SELECT source, open, waiting FROM source_level WHERE source <> '') AS before USING (source)
                FULL JOIN ends USING (source))
), buckets AS MATERIALIZED (
    SELECT coalesce(source, '') AS source, kind, bucket, count(*) AS jobs, sum(greatest(seconds, 0)) AS seconds
    FROM ended
    CROSS JOIN LATERAL (SELECT kind, seconds, time_bucket(seconds) AS bucket
                        FROM (VALUES ('wait', wait), ('run', run)) AS time(kind, seconds)) AS each
    WHERE is_of_minute AND seconds IS NOT NULL
    GROUP BY GROUPING SETS ((source, kind, bucket), (kind, bucket))
), histograms AS (
    SELECT source, {_HISTOGRAMS},
           coalesce(sum(seconds) FILTER (WHERE kind = 'wait'), 0) AS wait_seconds,
           coalesce(sum(seconds) FILTER (WHERE kind = 'run'), 0) AS run_seconds
    FROM buckets
    GROUP BY source
), stored AS (
    INSERT INTO source_history (seconds, start, source, submitted, done, failed, waiting, was_waiting,
                                wait_buckets, wait_jobs, run_buckets, run_jobs)
    SELECT 60, minute, source, submitted, done, failed, waiting, was_waiting, coalesce(wait_buckets, '{{}}'),
           coalesce(wait_jobs, '{{}}'), coalesce(run_buckets, '{{}}'), coalesce(run_jobs, '{{}}')
    FROM (SELECT minute, source, submitted, done, failed, waiting, was_waiting
          FROM changes
          WHERE submitted > 0 OR done > 0 OR waiting <> was_waiting
          UNION ALL
          SELECT minute, '', coalesce(sum(submitted), 0), coalesce(sum(done), 0), coalesce(sum(failed), 0),
                 coalesce(sum(waiting), 0), coalesce(sum(was_waiting), 0)
          FROM turn LEFT JOIN changes USING (minute)
          GROUP BY minute) AS counted
    LEFT JOIN histograms USING (source)
    ON CONFLICT DO NOTHING
    RETURNING source
), emptied AS (
    DELETE FROM source_level
    USING changes
    WHERE source_level.source = changes.source AND changes.open = 0 AND source_level.minute < changes.minute
), leveled AS (
    INSERT INTO source_level AS known (source, open, waiting, minute, at)
    SELECT source, open, waiting, minute, now() FROM changes
    WHERE open > 0 AND (open <> was_open OR waiting <> level_was)
    UNION ALL
    SELECT '', 0, 0, minute, now() FROM turn
    ON CONFLICT (source) DO UPDATE
    SET open = excluded.open, waiting = excluded.waiting, minute = excluded.minute, at = excluded.at
    WHERE known.minute < excluded.minute
)
SELECT minute, wait_buckets, wait_jobs, wait_seconds, run_buckets, run_jobs, run_seconds
FROM turn
LEFT JOIN histograms ON histograms.source = '' AND EXISTS (SELECT FROM stored WHERE stored.source = '')
""",
)

# The ten minutes that are over, and are not rolled up yet. Histograms of equal buckets add up exactly. An hour and a
# day are kept, and a little more for who reads at the wrong moment.
ROLL_UP = Statement(
    "roll_up_history",
    f"""
WITH turn AS MATERIALIZED (
    SELECT DISTINCT date_bin('10 minutes', start, 'epoch') AS block
    FROM source_history AS minute
    WHERE pg_try_advisory_xact_lock($1) AND source = '' AND seconds = 60
      AND start < date_bin('10 minutes', $2::timestamptz + interval '1 minute', 'epoch')
      AND NOT EXISTS (SELECT FROM source_history AS rolled
                      WHERE rolled.source = '' AND rolled.seconds = 600
                        AND rolled.start = date_bin('10 minutes', minute.start, 'epoch'))
), minutes AS MATERIALIZED (
    SELECT block, source_history.*
    FROM turn
    JOIN source_history ON seconds = 60 AND start >= block AND start < block + interval '10 minutes'
), buckets AS (
    SELECT block, source, kind, bucket, sum(jobs)::bigint AS jobs
    FROM minutes
    CROSS JOIN LATERAL (
        SELECT 'wait' AS kind, * FROM unnest(wait_buckets, wait_jobs) AS pairs(bucket, jobs)
        UNION ALL
        SELECT 'run', * FROM unnest(run_buckets, run_jobs) AS pairs(bucket, jobs)) AS each
    GROUP BY block, source, kind, bucket
), histograms AS (
    SELECT block, source, {_HISTOGRAMS}
    FROM buckets
    GROUP BY block, source
), old_minutes AS (
    DELETE FROM source_history WHERE seconds = 60 AND start < $2::timestamptz - interval '75 minutes'
), old_blocks AS (
    DELETE FROM source_history WHERE seconds = 600 AND start < $2::timestamptz - interval '25 hours'
)
INSERT INTO source_history (seconds, start, source, submitted, done, failed, waiting, was_waiting,
                            wait_buckets, wait_jobs, run_buckets, run_jobs)
SELECT 600, block, source, submitted, done, failed, waiting, was_waiting, coalesce(wait_buckets, '{{}}'),
       coalesce(wait_jobs, '{{}}'), coalesce(run_buckets, '{{}}'), coalesce(run_jobs, '{{}}')
FROM (SELECT block, source, sum(submitted) AS submitted, sum(done) AS done, sum(failed) AS failed,
             (array_agg(waiting ORDER BY start DESC))[1] AS waiting,
             (array_agg(was_waiting ORDER BY start))[1] AS was_waiting
      FROM minutes
      GROUP BY block, source) AS summed
LEFT JOIN histograms USING (block, source)
ON CONFLICT DO NOTHING
""",
)


class Times(NamedTuple):
    """How long jobs took: their number by bucket (`model.history.quantile`), and their seconds together."""

    buckets: Sequence[int]
    jobs: Sequence[int]
    seconds: float


class Minute(NamedTuple):
    """A minute that was counted: how long the jobs that ended in it waited for their first take, and ran.

    If two replicas count the same minute, only one of them gets its times.
    """

    waits: Times
    runs: Times


async def count_history(pool: Pool) -> Minute | None:
    """Record what each source did in the last full minute, unless a replica has done so."""
    rows = await fetch(pool, COUNT_HISTORY, _HISTORY_LOCK)
    if not rows:
        return None
    [row] = rows
    await fetch(pool, ROLL_UP, _HISTORY_LOCK, row["minute"])
    waits, runs = (
        Times(row[f"{kind}_buckets"] or (), row[f"{kind}_jobs"] or (), row[f"{kind}_seconds"] or 0.0)
        for kind in ("wait", "run")
    )
    return Minute(waits, runs)


_PARTS = """
SELECT source, start, submitted, done, failed, waiting, was_waiting, wait_buckets, wait_jobs, run_buckets, run_jobs
FROM source_history
WHERE source = ANY($1::text[]) AND seconds = $2
  AND start >= date_bin(make_interval(secs => $2), now(), 'epoch') - make_interval(secs => $2 * ($3 + 1))
ORDER BY source, seconds, start
"""
HISTORY = Statement("history", _PARTS)
LEVELS = Statement(
    "levels",
    """
SELECT now() AS now, source, waiting
FROM (SELECT) AS one
LEFT JOIN source_level ON source = ANY($1::text[]) AND source <> ''
""",
)


class Kept(NamedTuple):
    """The history of some sources, the number of ready jobs of each, and the database's time."""

    parts: list[Part]
    waiting: dict[str, int]
    now: datetime


async def history(pool: Pool, sources: Sequence[str], seconds: int, length: int) -> Kept:
    """The history of these sources in parts of 60 or 600 seconds, the last `length` of them and a few more.

    The source '' is all together. Its parts say which times were counted, and are always there.
    """
    rows = await fetch(pool, HISTORY, [*sources, ""], seconds, length)
    levels = await fetch(pool, LEVELS, sources)
    return Kept(
        [Part(**row) for row in rows],
        {row["source"]: row["waiting"] for row in levels if row["source"] is not None},
        levels[0]["now"],
    )


# Failures since the last counted minute are read one by one, so that a source that begins to fail is seen at once. If
# there are some, so are all jobs that ended since then: otherwise all the last jobs of a source would seem to have
# failed.
_MOST_READ = 10_000


def _ended_since(condition: str) -> str:
    """SQL that counts the jobs of each source that ended since the last counted minute and match a condition."""
    return f"""
    SELECT source, count(*) AS jobs
    FROM (SELECT source FROM job
          WHERE status = 'DONE' AND {condition}
            AND finished_at >= coalesce((SELECT minute + interval '1 minute' FROM last), now() - interval '1 hour')
          ORDER BY finished_at DESC
          LIMIT {_MOST_READ}) AS last_done
    GROUP BY source"""


RECENT = Statement(
    "recent",
    f"""
WITH last AS MATERIALIZED (
    SELECT max(start) AS minute FROM source_history
    WHERE source = '' AND seconds = 60 AND start >= now() - interval '1 hour'
), rolled AS MATERIALIZED (
    SELECT max(start) + interval '10 minutes' AS until FROM source_history
    WHERE source = '' AND seconds = 600 AND start >= now() - interval '1 day'
), parts AS (
    SELECT source, seconds, start, submitted, done, failed FROM source_history
    WHERE seconds = 60 AND start >= date_trunc('minute', now()) - interval '1 hour'
    UNION ALL
    SELECT source, seconds, start, submitted, done, failed FROM source_history
    WHERE seconds = 600 AND start >= now() - interval '1 day'
), summed AS (
    SELECT source, sum(failed) FILTER (WHERE seconds = 60) AS failed_hour,
           sum(done) FILTER (WHERE seconds = 60) AS ended_hour,
           sum(failed) FILTER (WHERE seconds = 600 OR until IS NULL OR start >= until) AS failed_day,
           sum(submitted) FILTER (WHERE seconds = 60 AND start = minute) AS came,
           sum(done) FILTER (WHERE seconds = 60 AND start = minute) AS went
    FROM parts, last, rolled
    WHERE source <> ''
    GROUP BY source
), failing AS MATERIALIZED ({_ended_since("outcome IN ('failed', 'abandoned')")}
), ended AS MATERIALIZED ({_ended_since("EXISTS (SELECT FROM failing)")}
)
SELECT source, (coalesce(failed_hour, 0) + coalesce(failing.jobs, 0))::bigint AS failed_hour,
       (coalesce(ended_hour, 0) + greatest(ended.jobs, failing.jobs, 0))::bigint AS ended_hour,
       (coalesce(failed_day, 0) + coalesce(failing.jobs, 0))::bigint AS failed_day,
       coalesce(came, 0)::bigint AS came, coalesce(went, 0)::bigint AS went, NULL::timestamptz AS minute
FROM summed
FULL JOIN failing USING (source)
LEFT JOIN ended USING (source)
UNION ALL
SELECT '', 0, 0, 0, 0, 0, minute FROM last
""",
)


async def recent(pool: Pool) -> Lately:
    """What each source did in the last minute, hour and day."""
    rows = {row["source"]: row for row in await fetch(pool, RECENT)}
    minute: datetime | None = rows.pop("")["minute"]
    sources = {source: Recent(**{name: row[name] for name in Recent._fields}) for source, row in rows.items()}
    return Lately(minute, sources)
