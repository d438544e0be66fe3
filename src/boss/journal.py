"""One line in the log for each move of a job: which job, and what became of it, never its document.

A line costs about two microseconds, for a statement's moves are written at once; structlog's own loggers take several
times as long for each, which would be a tenth of all that Boss does when it is busy. Its look on a terminal is
structlog's (logs.py).
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple


class Move(NamedTuple):
    """A move of a job: its names, and the attempt, the outcome and the token's name where there are such."""

    id: str
    source: str
    attempt: int | None = None
    outcome: str | None = None
    by: str | None = None


# Writes some events, each with its names and values.
Write = Callable[[list[dict[str, object]]], None]
# None while nobody wants to read them.
write: Write | None = None


def record(event: str, moves: Iterable[Move]) -> None:
    """Write down moves that have happened: `submitted`, `taken`, `finished`, `given back`, `expired`."""
    if write is None:
        return
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    lines: list[dict[str, object]] = []
    for id, source, attempt, outcome, by in moves:
        line: dict[str, object] = {"timestamp": now, "level": "info", "event": event, "job": id, "source": source}
        if attempt is not None:
            line["attempt"] = attempt
        if outcome is not None:
            line["outcome"] = outcome
        if by is not None:
            line["by"] = by
        lines.append(line)
    if lines:
        write(lines)
