"""Audit events: what administrators did that no job records: tokens, pruning, source limits."""

from datetime import datetime
from typing import NamedTuple

from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Statement


class AuditEvent(NamedTuple):
    """One action (`did`) of a principal; `by` is the name of its token, and `what` has the details as JSON text."""

    number: int
    at: datetime
    by: str | None
    did: str
    what: str


AUDIT_EVENTS = Statement(
    "acts",
    """
SELECT number, at, by, did, what::text AS what FROM act WHERE number < $1 ORDER BY number DESC LIMIT $2
""",
)
_AFTER_ALL = 2**63 - 1


async def audit_events(pool: Pool, before: int | None, limit: int) -> list[AuditEvent]:
    """The last audit events, the newest first; with `before`, only those with a lesser number."""
    rows = await fetch(pool, AUDIT_EVENTS, _AFTER_ALL if before is None else before, limit)
    return [AuditEvent(**row) for row in rows]
