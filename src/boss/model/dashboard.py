"""What the dashboard shows."""

from datetime import datetime
from typing import NamedTuple

from boss.model.converter import KnownConverter
from boss.model.diagnosis import Finding
from boss.model.job import State
from boss.model.overview import SourceView


class Failed(NamedTuple):
    """A job that failed or was abandoned, with the beginning of the reason, if there is one."""

    id: str
    source: str
    outcome: str
    attempt: int
    finished: datetime
    reason: str | None


class View(NamedTuple):
    """What the dashboard shows at one moment.

    Attributes:
        counts: how many jobs there are of each source and state.
        failed: the jobs that failed last.
        sources: how each source stands.
        minute: the last minute that was counted; None when none was.
        converters: the converters that are known.
        findings: what the doctor says.
        away: whether the database is away; then the rest is from before.
    """

    counts: dict[tuple[str, State], int]
    failed: list[Failed]
    sources: dict[str, SourceView]
    minute: datetime | None
    converters: list[KnownConverter]
    findings: list[Finding]
    away: bool = False
