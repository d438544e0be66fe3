"""Letting go of jobs: done, or given back."""

from collections.abc import Sequence

from boss.backoff import LONGEST_FROM, backoff
from boss.database import Pool, fetch
from boss.job import Finish, GiveBack, State

# Here and wherever jobs are found by their ids, the status is compared as an expression, which no index has. By one of
# the status a planner that knows of few active jobs, before a rush, would rather read all that are active and join.
FINISH = """
-- finish
UPDATE job
SET status = 'DONE', due_at = NULL, lease_until = NULL, take_key = NULL,
    finished_at = now(), outcome = asked.outcome, result = asked.result::jsonb, finished_by = asked.by
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[])
     AS asked(id, source, outcome, result, attempt, by)
WHERE job.id = asked.id AND job.source = asked.source AND job.status || '' IN ('AVAILABLE', 'ACTIVE')
  AND (asked.attempt IS NULL OR job.attempt = asked.attempt)
RETURNING job.id
"""


async def finish(pool: Pool, finishes: Sequence[Finish]) -> set[str]:
    """Move available and active jobs to done; return the ids that were moved. No id may come twice."""
    # In order of id, so that two replicas with the same jobs lock them in the same order.
    columns = zip(*sorted(finishes, key=lambda finish: finish.id), strict=True)
    return {row["id"] for row in await fetch(pool, FINISH, *columns)}


# What becomes of an attempt that did not finish the job: a line of its history, of which the oldest are forgotten.
END_ATTEMPT = """
    history = CASE
        WHEN job.attempt < attempts
        THEN CASE WHEN jsonb_array_length(history) >= 100 THEN history - 0 ELSE coalesce(history, '[]') END
             || jsonb_strip_nulls(jsonb_build_object(
                    'attempt', job.attempt, 'taken', taken_at, 'by', taken_by, 'ended', now(), {how}))
        ELSE history
    END,
    -- The next take may be by hand, which names nobody.
    taken_by = CASE WHEN job.attempt >= attempts THEN taken_by END,"""

# A converter says why it failed under "error" by custom, or in words of its own.
_WHY = "left(coalesce(asked.result::jsonb ->> 'error', asked.result), 500)"

# The backoff of every attempt comes with the request, so that its arithmetic is in one place (backoff.py).
GIVE_BACK = f"""
-- give_back
UPDATE job
SET status = CASE WHEN job.attempt < attempts THEN 'AVAILABLE' ELSE 'DONE' END,
    outcome = CASE WHEN job.attempt < attempts THEN NULL ELSE 'failed' END,
    finished_at = CASE WHEN job.attempt < attempts THEN NULL ELSE now() END,
    due_at = CASE
        WHEN job.attempt < attempts AND asked.delay IS DISTINCT FROM 0
        THEN now() + make_interval(secs => coalesce(asked.delay, ($5::float8[])[least(job.attempt, cardinality($5))]))
    END,{END_ATTEMPT.format(how=f"'how', 'given back', 'given_back_by', asked.by, 'why', {_WHY}")}
    finished_by = CASE WHEN job.attempt >= attempts THEN asked.by END,
    lease_until = NULL, take_key = NULL, result = coalesce(asked.result::jsonb, job.result)
FROM unnest($1::text[], $2::text[], $3::float8[], $4::int[], $6::text[], $7::text[])
     AS asked(id, source, delay, attempt, result, by)
WHERE job.id = asked.id AND job.source = asked.source AND job.status || '' = 'ACTIVE'
  AND (asked.attempt IS NULL OR job.attempt = asked.attempt)
RETURNING job.id, job.status
"""

_BACKOFFS = [backoff(attempt) for attempt in range(1, LONGEST_FROM + 1)]


async def give_back(pool: Pool, given: Sequence[GiveBack]) -> dict[str, State]:
    """Make active jobs available again after their delay or backoff, or done with outcome failed after their last
    attempt; return what became of those that were, by id. No id may come twice.
    """
    *columns, results, names = zip(*sorted(given, key=lambda each: each.id), strict=True)
    rows = await fetch(pool, GIVE_BACK, *columns, _BACKOFFS, results, names)
    return {row["id"]: State[row["status"]] for row in rows}
