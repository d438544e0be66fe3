"""What administrators did that is not kept with a job: tokens, pruning, the rules of sources."""

from datetime import datetime
from typing import NamedTuple

from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Statement


class AuditEvent(NamedTuple):
    """What somebody did; `by` is the name of their token, `what` is JSON text."""

    number: int
    at: datetime
    by: str | None
    did: str
    what: str


ACTS = Statement(
    "acts",
    """
SELECT number, at, by, did, what::text AS what FROM act WHERE number < $1 ORDER BY number DESC LIMIT $2
""",
)
_AFTER_ALL = 2**63 - 1


async def audit_events(pool: Pool, before: int | None, limit: int) -> list[AuditEvent]:
    """The last acts, newest first; only those with a lesser number than `before`, when given."""
    return [AuditEvent(**row) for row in await fetch(pool, ACTS, _AFTER_ALL if before is None else before, limit)]
