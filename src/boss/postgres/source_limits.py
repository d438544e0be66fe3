"""The rules of sources: which are paused, and how many of their jobs may be active at once."""

import json

from boss.model.job import SourceLimit
from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Statement

RULES = Statement(
    "rules",
    """
SELECT source, paused, most_active FROM source_rule
""",
)


async def rules(pool: Pool) -> dict[str, SourceLimit]:
    """The rule of each source that has one."""
    return {
        row["source"]: SourceLimit(row["source"], row["paused"], row["most_active"]) for row in await fetch(pool, RULES)
    }


# No take by the rules is under way meanwhile, whose lock this is (room_by_rules, 0006_promises.sql).
_LOCK = 0x626F7373_72756C65  # "bossrule"
_ALONE = f"alone AS MATERIALIZED (SELECT pg_advisory_xact_lock({_LOCK}))"
_WRITE_DOWN = "INSERT INTO act (by, did, what) SELECT $2, 'set the rule of a source', $3::jsonb FROM alone"
SET_RULE = Statement(
    "set_rule",
    f"""
WITH {_ALONE}, changed AS (
    INSERT INTO source_rule (source, paused, most_active) SELECT $1, $4, $5 FROM alone
    ON CONFLICT (source) DO UPDATE SET paused = excluded.paused, most_active = excluded.most_active
)
{_WRITE_DOWN}
""",
)
# A source that is held to nothing has no row, so that takes need not look at it.
END_RULE = Statement(
    "end_rule",
    f"""
WITH {_ALONE}, changed AS (
    DELETE FROM source_rule USING alone WHERE source = $1
)
{_WRITE_DOWN}
""",
)


async def set_rule(pool: Pool, rule: SourceLimit, by: str | None) -> None:
    """Hold a source to this rule from now on, and to nothing else, and write down who did so."""
    what = json.dumps({"source": rule.source, "paused": rule.paused, "limit": rule.limit})
    if rule.paused or rule.limit is not None:
        await fetch(pool, SET_RULE, rule.source, by, what, rule.paused, rule.limit)
    else:
        await fetch(pool, END_RULE, rule.source, by, what)
