"""A scan cursor: how far the queue of one source and priority has been taken."""

from typing import NamedTuple


class ScanCursor(NamedTuple):
    """All jobs of this priority up to this position are taken, of this source, or of any source when None."""

    source: str | None
    priority: int
    position: int
