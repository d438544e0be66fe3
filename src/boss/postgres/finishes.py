"""Finishes and give-backs, the two ways in which a taker ends its attempt, and jobs that nobody can be given."""

from collections.abc import Mapping, Sequence
from operator import attrgetter

from boss.model.backoff import LONGEST_FROM, backoff
from boss.model.document import MOST_TEXT
from boss.model.job import Finish, GiveBack, State
from boss.postgres.connection import Pool, fetch
from boss.postgres.sizes import shortened, size_of
from boss.postgres.statement import Arrays, Statement, probe

# Times come from clock_timestamp(), the time of the change itself: now() is from before any wait for a lock.
#
# Wherever jobs are found by their ids, `status || ''` compares the status as an expression that no index has. With an
# index on the status, a planner whose statistics are from before a rush, and show few active jobs, would rather read
# all active jobs and join them. And an id is compared with an array (`probe`), which leaves only one index lookup for
# each id. For a plain join, a planner that believes the table to be nearly empty reads the whole primary key for each
# id.
_FINISHES = Arrays(
    id="text", source="text", outcome="text", result="text", attempt="int", by="text", result_bytes="int"
)
FINISH = Statement(
    "finish",
    f"""
UPDATE ONLY job
SET status = 'DONE', due_at = NULL, lease_until = NULL, take_key = NULL,
    finished_at = clock_timestamp(), outcome = asked.outcome, result = asked.result::jsonb, finished_by = asked.by,
    result_bytes = asked.result_bytes
FROM {_FINISHES.unnest} AS asked({_FINISHES.names})
WHERE {probe("job.id", "asked.id")} AND job.source = asked.source AND job.status || '' IN ('AVAILABLE', 'ACTIVE')
  AND (asked.attempt IS NULL OR job.attempt = asked.attempt)
RETURNING job.id
""",
)


async def finish(pool: Pool, finishes: Sequence[Finish]) -> set[str]:
    """Move available and active jobs to done; return the ids of those moved. No id may come twice."""
    # In order of id, so that two replicas with the same jobs lock them in the same order.
    in_order = sorted(finishes, key=attrgetter("id"))
    return {row["id"] for row in await fetch(pool, FINISH, *_FINISHES.of(in_order))}


# The assignments that add an attempt which did not finish the job to its history. The history keeps the last 100.
END_ATTEMPT = """
    history = CASE
        WHEN {left}
        THEN CASE
                 WHEN jsonb_typeof(history) IS DISTINCT FROM 'array' THEN '[]'
                 WHEN jsonb_array_length(history) >= 100 THEN history - 0
                 ELSE history
             END
             || jsonb_strip_nulls(jsonb_build_object(
                    'attempt', job.attempt, 'taken', taken_at, 'by', taken_by, 'converter', converter,
                    'ended', clock_timestamp(), {how}))
        ELSE history
    END,
    -- The next take may be made in SQL by hand, which does not set these.
    taken_by = CASE WHEN {left} THEN NULL ELSE taken_by END,
    converter = CASE WHEN {left} THEN NULL ELSE converter END,"""

# By convention a converter says under "error" why it failed; otherwise the whole result is shown.
_WHY = shortened("coalesce(asked.result::jsonb ->> 'error', asked.result)")

# Two counted attempts in a row may be retried at once. After that the delay is at least a second: otherwise a converter
# that cannot do the job would use up all its attempts within a few seconds.
_LEFT = "job.attempt < attempts + asked.uncounted::int"
_DELAY = """CASE
        WHEN asked.uncounted THEN coalesce(asked.delay, 0)
        WHEN asked.delay < 1 AND jsonb_typeof(history) = 'array' AND (
            SELECT count(*) FILTER (WHERE counted.delay < 1)
            FROM (SELECT (entry ->> 'delay')::float8 AS delay
                  FROM jsonb_array_elements(history) WITH ORDINALITY AS entries(entry, number)
                  WHERE NOT entry ? 'uncounted'
                  ORDER BY number DESC
                  LIMIT 2) AS counted) = 2
        THEN 1
        ELSE coalesce(asked.delay, ($1::float8[])[least(job.attempt, cardinality($1))])
    END"""
_HOW = f"""'how', 'given back', 'given_back_by', asked.by, 'why', {_WHY},
                    'delay', CASE WHEN NOT asked.uncounted AND asked.delay < 1 THEN asked.delay END,
                    'uncounted', CASE WHEN asked.uncounted THEN true END"""

# $1 has the backoff of every attempt, so that its arithmetic is in one place (backoff.py).
_GIVEN = Arrays(
    2,
    id="text",
    source="text",
    delay="float8",
    attempt="int",
    result="text",
    by="text",
    result_bytes="int",
    uncounted="bool",
)
GIVE_BACK = Statement(
    "give_back",
    f"""
UPDATE ONLY job
SET status = CASE WHEN {_LEFT} THEN 'AVAILABLE' ELSE 'DONE' END,
    outcome = CASE WHEN {_LEFT} THEN NULL ELSE 'failed' END,
    finished_at = CASE WHEN {_LEFT} THEN NULL ELSE clock_timestamp() END,
    due_at = CASE WHEN {_LEFT} THEN clock_timestamp() + make_interval(secs => nullif({_DELAY}, 0)) END,
    attempts = attempts + asked.uncounted::int,
    allowed = CASE WHEN asked.uncounted THEN coalesce(allowed, attempts) ELSE allowed END,
    {END_ATTEMPT.format(left=_LEFT, how=_HOW)}
    finished_by = CASE WHEN {_LEFT} THEN NULL ELSE asked.by END,
    lease_until = NULL, take_key = NULL, result = coalesce(asked.result::jsonb, job.result),
    result_bytes = CASE WHEN asked.result IS NULL THEN job.result_bytes ELSE asked.result_bytes END
FROM {_GIVEN.unnest} AS asked({_GIVEN.names})
WHERE {probe("job.id", "asked.id")} AND job.source = asked.source AND job.status || '' = 'ACTIVE'
  AND (asked.attempt IS NULL OR job.attempt = asked.attempt)
RETURNING job.id, job.status
""",
)

# The same, where some sources have delays of their own: $10 has them as text, by job. A delay that is not given is that
# of the attempt. It does not matter to an attempt that does not count.
_OF_ATTEMPT = """coalesce(asked.delay, CASE WHEN NOT asked.uncounted
            THEN (asked.delays::float8[])[least(job.attempt, cardinality(asked.delays::float8[]))]
        END)"""
GIVE_BACK_BY_RULES = Statement(
    "give_back_by_rules",
    GIVE_BACK.sql.replace("asked.delay", _OF_ATTEMPT)
    .replace(f"FROM {_GIVEN.unnest}", f"FROM {_GIVEN.unnest[:-1]}, $10::text[])")
    .replace(f"asked({_GIVEN.names})", f"asked({_GIVEN.names}, delays)"),
)

_BACKOFFS = [backoff(attempt) for attempt in range(1, LONGEST_FROM + 1)]


async def give_back(
    pool: Pool, given: Sequence[GiveBack], delays: Mapping[str, tuple[float, ...]] | None = None
) -> dict[str, State]:
    """Make active jobs available again after their delay or backoff; after the last attempt they are done, as failed.

    Args:
        pool: the connection pool.
        given: the jobs; no id may come twice.
        delays: the delays in seconds after the first attempt, the second and so on, for sources that have their own.

    Returns the new state of each job that was given back, by id.
    """
    in_order = sorted(given, key=attrgetter("id"))
    values = _BACKOFFS, *_GIVEN.of(in_order)
    if delays:
        of_jobs = [_array(delays.get(each.source)) for each in in_order]
        rows = await fetch(pool, GIVE_BACK_BY_RULES, *values, of_jobs)
    else:
        rows = await fetch(pool, GIVE_BACK, *values)
    return {row["id"]: State[row["status"]] for row in rows}


def _array(delays: tuple[float, ...] | None) -> str | None:
    """PostgreSQL's text of an array: it has no arrays of arrays of different lengths."""
    return None if delays is None else f"{{{','.join(map(str, delays))}}}"


# This message is for the person who finds the job among the failed ones.
_UNREADABLE = f"Boss cannot hand this job out: as text, its document would be larger than {MOST_TEXT:,} bytes"
SET_ASIDE = Statement(
    "set_aside",
    f"""
UPDATE ONLY job
SET status = 'DONE', outcome = 'failed', due_at = NULL, finished_at = clock_timestamp(),
    result = jsonb_build_object('error', '{_UNREADABLE}'), result_bytes = {len(_UNREADABLE) + 20}
WHERE id = ANY($1::text[]) AND status || '' = 'AVAILABLE' AND {size_of("document")} > {MOST_TEXT}
RETURNING id, source
""",
)


async def set_aside(pool: Pool, ids: Sequence[str]) -> dict[str, str]:
    """Let those of these available jobs fail that are too large for any reader; return the sources of these, by id."""
    return {row["id"]: row["source"] for row in await fetch(pool, SET_ASIDE, ids)}
