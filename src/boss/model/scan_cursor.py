"""How far the queue of one source and priority has been taken."""

from typing import NamedTuple


class ScanCursor(NamedTuple):
    """Up to this position everything of this priority is taken; of this source, or of any under None."""

    source: str | None
    priority: int
    position: int
