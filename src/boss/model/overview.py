"""How each source stands at one moment, as the dashboard's overview shows it. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from boss.model.attention import Attention, Standing, attention
from boss.model.job import State
from boss.model.source_rule import SourceRule

# A taker that asks now and then counts for this long. That is longer than one may wait, and than it takes to be
# recorded.
_ASKS_FOR = timedelta(seconds=90)
# The ready jobs of a source are counted up to this number.
MOST_READY = 1000


class SurveyedQueue(NamedTuple):
    """The queue of a source when it was surveyed.

    Attributes:
        available: available jobs.
        delayed: delayed jobs, as far as they were counted.
        blocked: blocked jobs, as far as they were counted.
        ready: ready jobs, counted up to `MOST_READY`; None when they are all the others.
        oldest: when the first ready job was submitted; None when none is ready.
    """

    available: int
    delayed: int
    blocked: int
    ready: int | None
    oldest: datetime | None


class Survey(NamedTuple):
    """The queues of all sources that have available jobs, and whether more jobs are held back than were counted."""

    sources: dict[str, SurveyedQueue]
    delayed_more: bool
    blocked_more: bool


class Recent(NamedTuple):
    """What a source did: jobs that failed and that ended in the last hour, that failed in the last day, and that came
    and went in the last minute.
    """

    failed_hour: int
    ended_hour: int
    failed_day: int
    came: int
    went: int


class Lately(NamedTuple):
    """What each source did, and the last minute that was counted; None when none was."""

    minute: datetime | None
    sources: dict[str, Recent]


class Queue(NamedTuple):
    """How many jobs of a source are ready, delayed and blocked, and which of these numbers may be more."""

    ready: int
    delayed: int
    blocked: int
    at_least: tuple[str, ...] = ()


class Asked(NamedTuple):
    """When takers last asked for the jobs of each source, and for any under ''; and the database's time by then."""

    now: datetime
    sources: dict[str, datetime]

    def last(self, source: str) -> datetime | None:
        """When a taker that could have this source's jobs last asked; None when none is known."""
        return max(filter(None, (self.sources.get(source), self.sources.get(""))), default=None)

    def is_lately(self, last: datetime | None) -> bool:
        """Whether a taker that asked then may still be there."""
        return last is not None and self.now - last < _ASKS_FOR


class SourceView(NamedTuple):
    """How a source stands.

    Attributes:
        queue: its available jobs.
        takeable: how many of the ready ones its rule lets converters take within a second.
        active: active jobs.
        done: done jobs.
        paused: whether it is paused.
        limit: how many of its jobs may be active; None for any number.
        at_limit: whether so many are.
        oldest_ready: when its first ready job was submitted; None when none is ready.
        recent: what it did.
        asks: whether a converter asks for its jobs.
        asked: when one last did; None when one asks now, or none ever did.
        attention: why it needs attention.
    """

    queue: Queue
    takeable: int
    active: int
    done: int
    paused: bool
    limit: int | None
    at_limit: bool
    oldest_ready: datetime | None
    recent: Recent
    asks: bool
    asked: datetime | None
    attention: tuple[Attention, ...]


_NO_RECENT = Recent(0, 0, 0, 0, 0)
_EMPTY = SurveyedQueue(0, 0, 0, None, None)


def overview(
    counts: Mapping[tuple[str, State], int],
    rules: Mapping[str, SourceRule],
    survey: Survey,
    lately: Lately,
    asked: Asked,
) -> dict[str, SourceView]:
    """How each source stands. The counts are of this moment; the rest may be somewhat older.

    Args:
        counts: the job counts.
        rules: the rules of those sources that have one.
        survey: the queues.
        lately: what each source did.
        asked: when takers last asked for jobs.
    """
    return {
        source: _view(
            source,
            [counts.get((source, state), 0) for state in State],
            rules.get(source) or SourceRule(source),
            survey,
            lately.sources.get(source, _NO_RECENT),
            asked,
        )
        for source in sorted({source for source, _ in counts} | rules.keys())
    }


def _view(
    source: str, counts: Sequence[int], rule: SourceRule, survey: Survey, recent: Recent, asked: Asked
) -> SourceView:
    available, active, done = counts
    surveyed = survey.sources.get(source, _EMPTY)
    queue = _queue(available, surveyed, survey)
    oldest = surveyed.oldest if queue.ready else None
    last = asked.last(source)
    standing = Standing(
        available=available,
        ready=queue.ready,
        active=active,
        age=None if oldest is None else (asked.now - oldest).total_seconds(),
        paused=rule.paused,
        at_limit=rule.most_active is not None and active >= rule.most_active,
        asks=asked.is_lately(last),
        failed=recent.failed_hour,
        ended=recent.ended_hour,
    )
    return SourceView(
        queue=queue,
        takeable=rule.takeable(queue.ready, active),
        active=active,
        done=done,
        paused=standing.paused,
        limit=rule.most_active,
        at_limit=standing.at_limit,
        oldest_ready=oldest,
        recent=recent,
        asks=standing.asks,
        asked=None if standing.asks else last,
        attention=attention(standing),
    )


def _queue(available: int, surveyed: SurveyedQueue, survey: Survey) -> Queue:
    delayed, blocked = surveyed.delayed, surveyed.blocked
    if surveyed.ready is None:
        delayed = min(delayed, available)
        blocked = min(blocked, available - delayed)
        return Queue(available - delayed - blocked, delayed, blocked)
    if surveyed.ready >= MOST_READY:
        more = (surveyed.ready + delayed + blocked < surveyed.available, survey.delayed_more, survey.blocked_more)
        return Queue(surveyed.ready, delayed, blocked, _named(more))
    rest = surveyed.available - surveyed.ready
    if not survey.delayed_more:
        return Queue(surveyed.ready, delayed, rest - delayed)
    if not survey.blocked_more:
        return Queue(surveyed.ready, rest - blocked, blocked)
    return Queue(surveyed.ready, delayed, blocked, _named((False, True, True)))


def _named(more: tuple[bool, bool, bool]) -> tuple[str, ...]:
    return tuple(name for name, is_more in zip(("ready", "delayed", "blocked"), more, strict=True) if is_more)
