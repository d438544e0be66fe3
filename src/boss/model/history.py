"""The history of a source as a chart shows it. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple


class Span(Enum):
    """How much of the history is shown.

    Attributes:
        seconds: how long each part of it is.
        length: how many parts it has.
    """

    HOUR = "hour", 60, 60
    DAY = "day", 600, 144

    def __init__(self, text: str, seconds: int, length: int) -> None:
        self.text = text
        self.seconds = seconds
        self.length = length


class Part(NamedTuple):
    """What a source did in a minute, or in ten; the fields are the columns of the table `source_history`.

    Attributes:
        source: the source; '' for all together.
        start: when it began.
        submitted: jobs that came: submitted or redone.
        done: jobs that ended.
        failed: those of them that failed or were abandoned.
        waiting: ready jobs at its end.
        was_waiting: ready jobs at its beginning.
        wait_buckets: the buckets of the times from submit to take, and in `wait_jobs` the jobs of each.
        run_buckets: the buckets of the times from take to end, and in `run_jobs` the jobs of each.
    """

    source: str
    start: datetime
    submitted: int
    done: int
    failed: int
    waiting: int
    was_waiting: int
    wait_buckets: Sequence[int]
    wait_jobs: Sequence[int]
    run_buckets: Sequence[int]
    run_jobs: Sequence[int]


class Series(NamedTuple):
    """The history of one or more sources together: a value for each part of the span, the oldest first.

    A value is None where the time was not counted, or where there was no such job.
    """

    at: list[datetime]
    submitted: list[int | None]
    done: list[int | None]
    failed: list[int | None]
    waiting: list[int | None]
    wait_median: list[float | None]
    wait_p95: list[float | None]
    run_median: list[float | None]
    run_p95: list[float | None]


def series(parts: Iterable[Part], levels: Mapping[str, int], span: Span, now: datetime) -> Series:
    """The history of all these sources together.

    Args:
        parts: their parts and those of '', by source and then by start. The parts of '' say which times were counted.
        levels: how many ready jobs each of the sources has; '' among them for all sources, which then must be the only
            one.
        span: how much is shown.
        now: the time.
    """
    by_source = {source: list(each) for source, each in groupby(parts, attrgetter("source"))}
    counted = {part.start for part in by_source.get("", ())}
    at = _starts(counted, span, now)
    found: dict[datetime, list[Part]] = {}
    for source in levels:
        for part in by_source.get(source, ()):
            found.setdefault(part.start, []).append(part)
    waiting = [_waiting(by_source.get(source, []), level, at) for source, level in levels.items()]
    shown = Series(at, [], [], [], [], [], [], [], [])
    for index, start in enumerate(at):
        if start in counted:
            _append(shown, found.get(start, []), sum(each[index] for each in waiting))
        else:
            for values in shown[1:]:
                values.append(None)
    return shown


def _starts(counted: Iterable[datetime], span: Span, now: datetime) -> list[datetime]:
    """The beginnings of the parts. The last one ended most recently, or the one before while that is being counted."""
    step = timedelta(seconds=span.seconds)
    this = datetime.fromtimestamp(now.timestamp() // span.seconds * span.seconds, UTC)
    last = this - step if max(counted, default=this) != this - 2 * step else this - 2 * step
    return [last - back * step for back in reversed(range(span.length))]


def _append(shown: Series, parts: Sequence[Part], waiting: int) -> None:
    shown.submitted.append(sum(part.submitted for part in parts))
    shown.done.append(sum(part.done for part in parts))
    shown.failed.append(sum(part.failed for part in parts))
    shown.waiting.append(waiting)
    waits = _added((part.wait_buckets, part.wait_jobs) for part in parts)
    runs = _added((part.run_buckets, part.run_jobs) for part in parts)
    shown.wait_median.append(quantile(waits, 0.5))
    shown.wait_p95.append(quantile(waits, 0.95))
    shown.run_median.append(quantile(runs, 0.5))
    shown.run_p95.append(quantile(runs, 0.95))


def _waiting(parts: Sequence[Part], level: int, at: Sequence[datetime]) -> list[int]:
    """How many jobs waited at each of these times: a source has a part only where something changed."""
    values, rest = [], list(reversed(parts))
    current = parts[0].was_waiting if parts else level
    for start in at:
        while rest and rest[-1].start <= start:
            current = rest.pop().waiting
        values.append(current)
    return values


def _added(histograms: Iterable[tuple[Sequence[int], Sequence[int]]]) -> dict[int, int]:
    total: Counter[int] = Counter()
    for buckets, jobs in histograms:
        total.update(dict(zip(buckets, jobs, strict=True)))
    return dict(sorted(total.items()))


def quantile(histogram: Mapping[int, int], share: float) -> float | None:
    """The time in seconds that this share of the jobs does not exceed, within 10 %; None when there is no job.

    Args:
        histogram: the number of jobs by bucket, in order. Bucket n has the times from 2^(n/4) to 2^((n+1)/4) ms.
        share: from 0 to 1.
    """
    rank = share * sum(histogram.values())
    for bucket, jobs in histogram.items():
        if rank <= jobs:
            return float(f"{2 ** ((bucket + rank / jobs) / 4) / 1000:.3g}")
        rank -= jobs
    return None
