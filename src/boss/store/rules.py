"""The rules of sources: which are paused, and how many of their jobs may be active at once."""

from collections.abc import Sequence

from boss.database import Connection, Database, Pool, fetch, transaction
from boss.job import SourceRule
from boss.store.acts import write_act

RULES = """
-- rules
SELECT source, paused, most_active FROM source_rule
"""


async def rules(pool: Pool) -> dict[str, SourceRule]:
    """The rule of each source that has one."""
    return {row["source"]: SourceRule(*row) for row in await fetch(pool, RULES)}


SET_RULE = """
-- set_rule
INSERT INTO source_rule (source, paused, most_active) VALUES ($1, $2, $3)
ON CONFLICT (source) DO UPDATE SET paused = excluded.paused, most_active = excluded.most_active
"""
# A source that is held to nothing has no row, so that takes need not look at it.
END_RULE = """
-- end_rule
DELETE FROM source_rule WHERE source = $1
"""


async def set_rule(pool: Pool, rule: SourceRule, by: str | None) -> None:
    """Hold a source to this rule from now on, and to nothing else."""
    async with transaction(pool) as connection:
        await lock_rules(connection)
        if rule.paused or rule.limit is not None:
            await fetch(connection, SET_RULE, *rule)
        else:
            await fetch(connection, END_RULE, rule.source)
        what = {"source": rule.source, "paused": rule.paused, "limit": rule.limit}
        await write_act(connection, by, "set the rule of a source", what)


# A statement of its own: the next one sees what whoever had the lock before has committed.
LOCK_RULES = """
-- lock_rules
SELECT pg_advisory_xact_lock($1)
"""
_LOCK = 0x626F7373_72756C65  # "bossrule"


async def lock_rules(connection: Connection) -> None:
    """Have nobody else take by the rules, or change them, until the transaction is over."""
    await fetch(connection, LOCK_RULES, _LOCK)


# How many more of each source may be active. What is counted is what the lock above has made to stand still; jobs that
# are finished meanwhile only make room.
_ROOM = """
SELECT shelf.source, shelf.active, most_active - shelf.active AS room
FROM (SELECT source,
             coalesce(sum(jobs) FILTER (WHERE status = 'AVAILABLE'), 0) AS available,
             coalesce(sum(jobs) FILTER (WHERE status = 'ACTIVE'), 0) AS active
      FROM tally
      WHERE $1::text[] IS NULL OR source = ANY($1)
      GROUP BY source) AS shelf
LEFT JOIN source_rule ON source_rule.source = shelf.source
WHERE available > 0 AND paused IS NOT TRUE AND (most_active IS NULL OR shelf.active < most_active)
"""

# The first jobs of each source that has room, as many as it has room for; of these the first by the queue, or first
# those with the fewest jobs of their source active before them. They are not locked here: a lock on what is then not
# taken would hide it from others.
ALLOWED = f"""
-- allowed
WITH shelf AS MATERIALIZED ({_ROOM})
SELECT id
FROM (SELECT ready.id, ready.priority, ready.position,
             shelf.active + row_number() OVER (
                 PARTITION BY shelf.source ORDER BY ready.priority DESC, ready.position
             ) AS turn
      FROM shelf
      CROSS JOIN LATERAL (
          SELECT id, priority, position
          FROM job
          WHERE status = 'AVAILABLE' AND due_at IS NULL AND source = shelf.source AND id <> ALL ($4::text[])
          ORDER BY priority DESC, position
          LIMIT least(coalesce(shelf.room, $2), $2)
      ) AS ready) AS head
ORDER BY CASE WHEN $3::bool THEN turn END, priority DESC, position
LIMIT $2
"""


async def allowed(
    database: Database, sources: Sequence[str] | None, most: int, fair: bool = False, seen: Sequence[str] = ()
) -> list[str]:
    """The ids of the first ready jobs that the rules let be taken, at most so many.

    Args:
        database: a pool, or a connection that has the lock when they are to be taken.
        sources: only of these; None for all.
        most: how many at most.
        fair: those of the source with the fewest active jobs first.
        seen: not these.
    """
    return [row["id"] for row in await fetch(database, ALLOWED, sources, most, fair, seen)]


ROOM = f"""
-- room
{_ROOM}
"""


async def has_room(connection: Connection, source: str) -> bool:
    """Whether the rules let a job of this source be taken, if one is available."""
    return bool(await fetch(connection, ROOM, [source]))
