"""Jobs that come after others: they are blocked until these are completed (0016_after.sql)."""

from collections.abc import Sequence
from typing import NamedTuple

from boss.model.job import After, Submission
from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Statement
from boss.postgres.submits import NEW, SUBMISSIONS, TIMED, insert

# A blocked job's due time, which no job reaches.
BLOCKED = "blocked_until()"
DEPENDENTS_CHANNEL = "boss_dependents"

# A named job that is not done is locked, so that whoever finishes it meanwhile is waited for, and whoever finishes it
# later waits for us: their trigger then sees that somebody depends on it. The lock is followed by a read of the row as
# it is by then, so a job that was just finished counts as such. One that had ended before otherwise than completed is
# recorded as ended once more. A lock that SQL by hand holds is waited for two seconds. $14 has the named jobs, and $15
# the sources that the principal may name jobs of.
_NEEDED = """named AS MATERIALIZED (
    SELECT id, status, outcome FROM job
    WHERE id = ANY($14::text[]) AND attempt >= 0 AND ($15::text[] IS NULL OR source = ANY($15))
), open AS MATERIALIZED (
    SELECT id, status, outcome FROM ONLY job
    WHERE id = ANY(ARRAY(SELECT id FROM named WHERE status <> 'DONE'))
      AND (SELECT set_config('lock_timeout', '2s', true)) IS NOT NULL
    ORDER BY id
    FOR SHARE
), found AS MATERIALIZED (
    SELECT id, status, outcome FROM named WHERE status = 'DONE'
    UNION ALL
    SELECT id, status, outcome FROM open
), needed AS MATERIALIZED (
    SELECT id, status, outcome, clock_timestamp() AS at FROM found WHERE status <> 'DONE' OR outcome <> 'completed'
)"""
_ALL_FOUND = "(SELECT count(*) FROM found) = cardinality($14::text[])"
_DUE = f"CASE WHEN EXISTS (SELECT FROM needed) THEN {BLOCKED} END"
SUBMIT_AFTER = Statement(
    "submit_after",
    f"""
WITH {_NEEDED}, stored AS ({insert(f"{NEW} AND {_ALL_FOUND}", "id, expires_at", _DUE, "$14::text[]")}
), {TIMED}, waits AS (
    INSERT INTO dependency (job, needs, since) SELECT stored.id, needed.id, needed.at FROM stored CROSS JOIN needed
    ON CONFLICT (needs, job) DO UPDATE SET since = excluded.since
), left_over AS (
    -- By a job of the same id that was deleted in SQL before it was done.
    DELETE FROM dependency WHERE job = ANY(ARRAY(SELECT id FROM stored)) AND needs <> ALL(ARRAY(SELECT id FROM needed))
), ended AS (
    INSERT INTO ended_job (id, outcome, at)
    SELECT id, outcome, at FROM needed WHERE status = 'DONE' AND EXISTS (SELECT FROM stored)
)
SELECT id, true AS is_stored FROM stored
UNION ALL
SELECT id, false FROM unnest($14::text[]) AS asked(id) WHERE id <> ALL(ARRAY(SELECT id FROM found))
""",
)


class SubmittedAfter(NamedTuple):
    """The ids that were new, and those of the named jobs that there are not: then nothing was stored."""

    new: set[str]
    missing: list[str]


async def submit_after(pool: Pool, submissions: Sequence[Submission], after: After) -> SubmittedAfter:
    """Like `submit`, for jobs without due times that all come after the same others."""
    sources = None if after.sources is None else sorted(after.sources)
    rows = await fetch(pool, SUBMIT_AFTER, *SUBMISSIONS.of(submissions), after.ids, sources)
    stored = {row["id"] for row in rows if row["is_stored"]}
    return SubmittedAfter(stored, [row["id"] for row in rows if not row["is_stored"]])


RELEASE_DEPENDENTS = Statement(
    "release_dependents",
    """
SELECT id, source, stopped FROM release_dependents($1)
""",
)


class ReleasedJob(NamedTuple):
    """A job that waits for no other any more. It was `stopped` if one of those did not complete."""

    id: str
    source: str
    stopped: bool


async def release_dependents(pool: Pool, limit: int) -> list[ReleasedJob]:
    """Carry the ends of jobs on to at most `limit` jobs that wait for them; return those that wait no longer.

    It does nothing while another replica does it.
    """
    return [ReleasedJob(**row) for row in await fetch(pool, RELEASE_DEPENDENTS, limit)]


# What no trigger saw: a job that was deleted by hand before it was done, or finished by hand in a transaction that
# began before somebody named it. So is an end that seems to be from before that, because the clock was set back.
RECORD_MISSED_ENDS = Statement(
    "record_missed_ends",
    """
WITH checked AS MATERIALIZED (
    SELECT DISTINCT needs FROM (SELECT needs FROM dependency WHERE needs > $1 ORDER BY needs LIMIT $2) AS following
), missed AS (
    INSERT INTO ended_job (id, outcome, at)
    SELECT needs, coalesce(job.outcome, CASE WHEN job.id IS NULL THEN 'deleted' ELSE 'completed' END),
           greatest(clock_timestamp(), (SELECT max(since) FROM dependency WHERE dependency.needs = checked.needs))
    FROM checked
    LEFT JOIN job ON job.id = ANY(ARRAY[needs]) AND job.attempt >= 0
    WHERE (job.id IS NULL OR job.status = 'DONE') AND NOT EXISTS (SELECT FROM ended_job WHERE ended_job.id = needs)
)
SELECT max(needs) AS last FROM checked
""",
)


async def record_missed_ends(pool: Pool, after: str, limit: int) -> str | None:
    """Check `limit` rows of dependencies, of jobs with ids greater than `after`, for ends that were not recorded.

    Return the last id that was checked; None when there was none.
    """
    [row] = await fetch(pool, RECORD_MISSED_ENDS, after, limit)
    last: str | None = row["last"]
    return last


UNMET = Statement(
    "unmet",
    """
SELECT needs FROM dependency WHERE job = $1 ORDER BY needs LIMIT $2
""",
)


async def unmet(pool: Pool, id: str, limit: int) -> list[str]:
    """The ids of at most `limit` jobs that this one still waits for."""
    return [row["needs"] for row in await fetch(pool, UNMET, id, limit)]
