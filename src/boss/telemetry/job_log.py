"""The job log: one line for each event of a job. It names the job and what became of it, never the document.

A line costs less than a microsecond, because the events of a statement are written together and as text. structlog's
own loggers take many times as long for each line, which would be a tenth of the work of a busy Boss. On a terminal,
structlog renders the lines (logging.py).
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple


class JobEvent(NamedTuple):
    """An event of one job: its id and source, and the attempt, the outcome and the token's name if there are any."""

    id: str
    source: str
    attempt: int | None = None
    outcome: str | None = None
    by: str | None = None


# Writes events of several jobs: what happened, when (RFC 3339), and to which jobs.
Write = Callable[[str, str, Iterable[JobEvent]], None]
# None while the job log is off.
write: Write | None = None


def record(what: str, events: Iterable[JobEvent]) -> None:
    """Write down what happened to these jobs: `submitted`, `taken`, `finished`, `given back`, `lease ran out`, …"""
    if write is not None:
        write(what, datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"), events)


def as_json(what: str, now: str, events: Iterable[JobEvent]) -> str:
    """The events as JSON, one line each. Names of jobs, sources, outcomes and tokens need no escaping."""
    start = f'{{"timestamp":"{now}","level":"info","event":"{what}","job":"'
    lines: list[str] = []
    for id, source, attempt, outcome, by in events:
        end = f',"outcome":"{outcome}"' if outcome is not None else ""
        if attempt is not None:
            end = f',"attempt":{attempt}{end}'
        if by is not None:
            end = f'{end},"by":"{by}"'
        lines.append(f'{start}{id}","source":"{source}"{end}}}\n')
    return "".join(lines)
