"""Rules of sources: which are paused, how many of their jobs may be active at once, and their defaults."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from asyncpg import Record

from boss.model.source_rule import SourceRule
from boss.postgres.connection import Pool, fetch, transaction
from boss.postgres.finding import OF_SOURCE
from boss.postgres.maintenance import COUNTS_LOCK
from boss.postgres.statement import READY, Statement, probe

_COLUMNS = SourceRule._fields[1:]
SOURCE_LIMITS = Statement(
    "source_limits",
    f"""
SELECT source, {", ".join(_COLUMNS)} FROM source_rule
""",
)


async def source_rules(pool: Pool) -> dict[str, SourceRule]:
    """The rule of each source that has one."""
    return {row["source"]: _rule(row) for row in await fetch(pool, SOURCE_LIMITS)}


def _rule(row: Record) -> SourceRule:
    rule = SourceRule(**row)
    return rule if rule.delays is None else rule._replace(delays=tuple(rule.delays))


# EXISTS would read all ready jobs of a source, to join them. The bucket is half full then, or holds one token: a wakeup
# for each token could be one each microsecond. A bucket that has been full for a second holds no job back: without this
# a taker of any source would have the jobs of all sources with a rate looked up again and again.
RATE_WAITS = Statement(
    "rate_waits",
    f"""
SELECT source, greatest(0, (wanted - tokens) / rate) AS seconds, floor(greatest(wanted, tokens))::int AS jobs
FROM (SELECT rule.source, rule.rate, rate_left(rule.rate, used.full_at) AS tokens,
             greatest(1, rate_burst(rule.rate) / 2) AS wanted
      FROM source_rule AS rule
      JOIN rate_used AS used ON used.source = rule.source
      WHERE rule.source = ANY ($1::text[]) AND rule.rate IS NOT NULL AND NOT rule.paused
        AND used.full_at > clock_timestamp() - interval '1 second'
        AND (rule.most_active IS NULL
             OR rule.most_active > (SELECT coalesce(sum(jobs), 0) FROM tally
                                    WHERE tally.source = rule.source AND status = 'ACTIVE'))
        AND (SELECT true FROM ONLY job
             WHERE {READY} AND {probe("job.source", "rule.source")}
             ORDER BY job.source, priority DESC, position
             LIMIT 1)) AS held_back
""",
)


class RateWait(NamedTuple):
    """In how many seconds how many jobs of a source may be taken."""

    source: str
    seconds: float
    jobs: int


async def rate_waits(pool: Pool, sources: Sequence[str]) -> list[RateWait]:
    """Those of these sources with jobs that nothing but their rate may hold back."""
    return [RateWait(**row) for row in await fetch(pool, RATE_WAITS, sources)]


# Takes of a source with a limit hold the same lock, so that none is under way while its rule changes (room_for_take,
# 0017_source_defaults.sql).
_LOCK = 0x626F7373  # "boss"
LOCK_SOURCE_LIMITS = Statement("lock_source_limits", f"SELECT pg_advisory_xact_lock({_LOCK}, hashtext($1::text))")
SOURCE_LIMITS_OF = Statement(
    "source_limits_of",
    f"""
SELECT source, {", ".join(_COLUMNS)} FROM source_rule WHERE source = $1
""",
)
_AUDIT = "INSERT INTO act (by, did, what) VALUES ($2, $3, $4::jsonb)"
SET_SOURCE_LIMIT = Statement(
    "set_source_limits",
    f"""
WITH changed AS (
    INSERT INTO source_rule (source, {", ".join(_COLUMNS)})
    VALUES ($1, {", ".join(f"${number}" for number, _ in enumerate(_COLUMNS, 5))})
    ON CONFLICT (source) DO UPDATE SET {", ".join(f"{column} = excluded.{column}" for column in _COLUMNS)}
)
{_AUDIT}
""",
)
# A source without a rule has no row, so that its takes need not check any.
REMOVE_SOURCE_LIMIT = Statement(
    "end_source_limits",
    f"""
WITH changed AS (
    DELETE FROM source_rule WHERE source = $1
)
{_AUDIT}
""",
)


async def set_source_rule(pool: Pool, new: SourceRule, by: str | None, version: str | None = None) -> bool:
    """Replace the earlier rule of the source with this one, and record it as an audit event.

    Return whether it was done: with `version` only if the earlier rule has this version.
    """
    async with transaction(pool) as connection:
        # A statement of its own: the next one then sees what the holder of the lock before has changed.
        await fetch(connection, LOCK_SOURCE_LIMITS, new.source)
        rows = await fetch(connection, SOURCE_LIMITS_OF, new.source)
        before = _rule(rows[0]) if rows else SourceRule(new.source)
        if version not in (None, before.version):
            return False
        event = new.source, by, _did(before, new), json.dumps(new.named())
        if new == SourceRule(new.source):
            await fetch(connection, REMOVE_SOURCE_LIMIT, *event)
        else:
            await fetch(connection, SET_SOURCE_LIMIT, *event, *new[1:])
    return True


def _did(before: SourceRule, new: SourceRule) -> str:
    if before.paused == new.paused or before._replace(paused=new.paused) != new:
        return "set the rule of a source"
    return "paused a source" if new.paused else "resumed a source"


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
), rate AS (
    DELETE FROM rate_used WHERE source = $1 AND NOT EXISTS (SELECT FROM used)
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
        locks = "SELECT pg_advisory_xact_lock($1), pg_advisory_xact_lock($2, hashtext($3))"
        await connection.execute(locks, COUNTS_LOCK, _LOCK, source)
        return not await connection.fetchval(DELETE_SOURCE.sql, source, by)
