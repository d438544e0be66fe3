"""Source limits: which sources are paused, and how many of their jobs may be active at once."""

import json

from boss.model.job import SourceLimit
from boss.postgres.connection import Pool, fetch, transaction
from boss.postgres.finding import OF_SOURCE
from boss.postgres.maintenance import COUNTS_LOCK
from boss.postgres.statement import Statement

SOURCE_LIMITS = Statement(
    "source_limits",
    """
SELECT source, paused, most_active FROM source_rule
""",
)


async def source_limits(pool: Pool) -> dict[str, SourceLimit]:
    """The limit of each source that has one."""
    rows = await fetch(pool, SOURCE_LIMITS)
    return {row["source"]: SourceLimit(**row) for row in rows}


# Takes within limits hold the same lock, so that none is under way while a limit changes (room_by_rules,
# 0006_promises.sql).
_LOCK = 0x626F7373_72756C65  # "bossrule"
_ALONE = f"alone AS MATERIALIZED (SELECT pg_advisory_xact_lock({_LOCK}))"
_AUDIT = "INSERT INTO act (by, did, what) SELECT $2, 'set the limits of a source', $3::jsonb FROM alone"
SET_SOURCE_LIMIT = Statement(
    "set_source_limits",
    f"""
WITH {_ALONE}, changed AS (
    INSERT INTO source_rule (source, paused, most_active) SELECT $1, $4, $5 FROM alone
    ON CONFLICT (source) DO UPDATE SET paused = excluded.paused, most_active = excluded.most_active
)
{_AUDIT}
""",
)
# A source without a limit has no row, so that its takes need not check any.
REMOVE_SOURCE_LIMIT = Statement(
    "end_source_limits",
    f"""
WITH {_ALONE}, changed AS (
    DELETE FROM source_rule USING alone WHERE source = $1
)
{_AUDIT}
""",
)


async def set_source_limit(pool: Pool, new: SourceLimit, by: str | None) -> None:
    """Replace all earlier limits of the source with this one, and record it as an audit event."""
    details = json.dumps({"source": new.source, "paused": new.paused, "limit": new.most_active})
    if new.paused or new.most_active is not None:
        await fetch(pool, SET_SOURCE_LIMIT, new.source, by, details, new.paused, new.most_active)
    else:
        await fetch(pool, REMOVE_SOURCE_LIMIT, new.source, by, details)


# Its rows of the ledger go only while they add up to nothing, and while nobody compacts them.
DELETE_SOURCE = Statement(
    "delete_source",
    f"""
WITH used AS MATERIALIZED (
    SELECT FROM unnest('{{AVAILABLE,ACTIVE,DONE}}'::text[]) AS state(status)
    CROSS JOIN LATERAL (
        SELECT FROM job
        WHERE job.status = state.status AND {OF_SOURCE.format(source="$1", id="''")}
        ORDER BY job.source, job.id
        LIMIT 1) AS jobs
    UNION ALL
    SELECT FROM tally WHERE source = $1 GROUP BY status HAVING sum(jobs) <> 0
), limits AS (
    DELETE FROM source_rule WHERE source = $1 AND NOT EXISTS (SELECT FROM used)
    RETURNING source
), counts AS (
    DELETE FROM tally WHERE source = $1 AND NOT EXISTS (SELECT FROM used)
    RETURNING source
), recorded AS (
    INSERT INTO act (by, did, what)
    SELECT $2, 'deleted a source', jsonb_build_object('source', $1::text)
    WHERE EXISTS (SELECT FROM limits) OR EXISTS (SELECT FROM counts)
)
SELECT EXISTS (SELECT FROM used) AS used
""",
)


async def delete_source(pool: Pool, source: str, by: str | None) -> bool:
    """Delete the limits and the counts of a source, and record it as an audit event; return whether it has no jobs."""
    async with transaction(pool) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1), pg_advisory_xact_lock($2)", COUNTS_LOCK, _LOCK)
        return not await connection.fetchval(DELETE_SOURCE.sql, source, by)
