"""Why a source needs somebody's attention. The dashboard and the doctor go by these rules. Pure."""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from boss.model.duration import duration

# The age of the first ready job, in seconds. Converters that keep up, or are started now and then, take it sooner.
LONG_AVAILABLE = 600.0
# A source fails when this many of its jobs failed within an hour, and this share of those that ended.
_MANY_FAILED = 3
_FAILED_SHARE = 0.1


class Reason(StrEnum):
    """Why a source needs attention."""

    FAILING = "failing"
    STUCK = "stuck"
    NOBODY_ASKS = "nobody asks"
    PAUSED = "paused"


class Attention(NamedTuple):
    """A reason, and what there is to say of it.

    Attributes:
        reason: the reason.
        text: a clause for people.
        jobs: how many jobs it is about.
        of: of how many; None when that means nothing.
        seconds: how long the first of them has been ready, in whole minutes; None when that means nothing.
        at_limit: whether more converters would change nothing, because of the source's limit.
    """

    reason: Reason
    text: str
    jobs: int
    of: int | None = None
    seconds: float | None = None
    at_limit: bool = False

    @property
    def is_pause(self) -> bool:
        """Whether it is no more than somebody wants."""
        return self.reason is Reason.PAUSED


class Standing(NamedTuple):
    """How a source stands.

    Attributes:
        available: available jobs; delayed and blocked ones, too.
        ready: ready jobs.
        active: active jobs.
        age: how long its first ready job has been there, in seconds; None when none is ready.
        paused: whether it is paused.
        at_limit: whether as many jobs are active as may be.
        asks: whether a converter asks for its jobs.
        failed: jobs that failed or were abandoned in the last hour.
        ended: jobs that ended in the last hour.
    """

    available: int
    ready: int
    active: int
    age: float | None
    paused: bool
    at_limit: bool
    asks: bool
    failed: int
    ended: int


def attention(source: Standing) -> tuple[Attention, ...]:
    """Why this source needs attention, the most important reason first."""
    failing = tuple(_failing(source))
    if source.paused:
        return *failing, *_paused(source, bool(failing))
    return *failing, *_waiting(source)


def _failing(source: Standing) -> Iterator[Attention]:
    failed, ended = source.failed, max(source.ended, source.failed)
    if failed >= max(_MANY_FAILED, _FAILED_SHARE * ended):
        text = f"{failed:,} of {ended:,} jobs that ended in the last hour failed"
        yield Attention(Reason.FAILING, text, failed, ended)


def _paused(source: Standing, is_failing: bool) -> Iterator[Attention]:
    if source.available > 0:
        text = f"it is paused, and {_jobs(source.available)} waiting"
        yield Attention(Reason.PAUSED, text, source.available)
    elif is_failing:
        # Whoever is told that it fails is told that somebody knows: the alert does not fire for it.
        yield Attention(Reason.PAUSED, "it is paused", 0)


def _waiting(source: Standing) -> Iterator[Attention]:
    if source.age is None or source.ready <= 0 or source.age < LONG_AVAILABLE:
        return
    # In whole minutes, so that it changes no more often.
    age = source.age // 60 * 60
    has_waited = f"the first ready job has waited for {duration(age)}"
    if not source.asks and not source.active:
        yield Attention(Reason.NOBODY_ASKS, f"{has_waited}, and nobody asks for jobs", source.ready, seconds=age)
    else:
        why = "its limit is reached" if source.at_limit else "its converters do not keep up"
        text = f"{has_waited}: {why}"
        yield Attention(Reason.STUCK, text, source.ready, seconds=age, at_limit=source.at_limit)


def _jobs(number: int) -> str:
    return "1 job is" if number == 1 else f"{number:,} jobs are"
