"""Audit events: what administrators did that no job records: tokens, pruning, source limits."""

from boss.model.audit import AuditEvent
from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Statement

AUDIT_EVENTS = Statement(
    "audit_events",
    """
SELECT number, at, by, did, what::text AS what FROM act WHERE number < $1 ORDER BY number DESC LIMIT $2
""",
)
_AFTER_ALL = 2**63 - 1


async def audit_events(pool: Pool, before: int | None, limit: int) -> list[AuditEvent]:
    """The last audit events, the newest first; with `before`, only those with a lesser number."""
    rows = await fetch(pool, AUDIT_EVENTS, _AFTER_ALL if before is None else before, limit)
    return [AuditEvent(**row) for row in rows]
