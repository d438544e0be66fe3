"""Audit events: what administrators did that no job records."""

from datetime import datetime
from typing import NamedTuple


class AuditEvent(NamedTuple):
    """One action (`did`) of a principal; `by` is the name of its token, and `what` has the details as JSON text."""

    number: int
    at: datetime
    by: str | None
    did: str
    what: str
