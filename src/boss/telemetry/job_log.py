"""One line in the log for each move of a job: which job, and what became of it, never its document.

A line costs less than a microsecond, for a statement's moves are written at once and as text; structlog's own loggers
take many times as long for each, which would be a tenth of all that Boss does when it is busy. Its look on a terminal
is structlog's (logging.py).
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple


class JobEvent(NamedTuple):
    """A move of a job: its names, and the attempt, the outcome and the token's name where there are such."""

    id: str
    source: str
    attempt: int | None = None
    outcome: str | None = None
    by: str | None = None


# Writes moves that have happened at once: what happened, when (RFC 3339), and which.
Write = Callable[[str, str, Iterable[JobEvent]], None]
# None while nobody wants to read them.
write: Write | None = None


def record(event: str, moves: Iterable[JobEvent]) -> None:
    """Write down moves that have happened: `submitted`, `taken`, `finished`, `given back`, `expired`."""
    if write is not None:
        write(event, datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), moves)


def as_json(event: str, now: str, moves: Iterable[JobEvent]) -> str:
    """The moves as JSON, a line each. Names of jobs, sources, outcomes and tokens need no escaping."""
    start = f'{{"timestamp":"{now}","level":"info","event":"{event}","job":"'
    lines: list[str] = []
    for id, source, attempt, outcome, by in moves:
        end = f',"outcome":"{outcome}"' if outcome is not None else ""
        if attempt is not None:
            end = f',"attempt":{attempt}{end}'
        if by is not None:
            end = f'{end},"by":"{by}"'
        lines.append(f'{start}{id}","source":"{source}"{end}}}\n')
    return "".join(lines)
