"""Counters of what becomes of jobs, by source.

The first 1,000 sources of a process have series of their own. All others share the series of `(others)`, a name that no
source has. Each function counts a whole batch, so that a job costs no more than its part in a sum.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from prometheus_client import Counter

from boss.telemetry.metrics import REGISTRY

MOST_SOURCES = 1000
OTHERS = "(others)"
OUTCOMES = ("completed", "failed", "stopped", "abandoned")

_BY_SOURCE = ["source"]
_SUBMITTED = Counter("boss_jobs_submitted", "Jobs stored, by source.", _BY_SOURCE, registry=REGISTRY)
_TAKEN = Counter("boss_jobs_taken", "Jobs handed out, each attempt counted, by source.", _BY_SOURCE, registry=REGISTRY)
_FINISHED = Counter(
    "boss_jobs_finished", "Jobs done, by source and outcome.", [*_BY_SOURCE, "outcome"], registry=REGISTRY
)
_GIVEN_BACK = Counter(
    "boss_jobs_given_back", "Jobs given back by their takers, by source.", _BY_SOURCE, registry=REGISTRY
)
_EXPIRED = Counter("boss_leases_expired", "Leases that ran out, by source.", _BY_SOURCE, registry=REGISTRY)


class _SourceCounters(NamedTuple):
    submitted: Counter
    taken: Counter
    given_back: Counter
    expired: Counter
    finished: Mapping[str, Counter]


def _new_series(source: str) -> _SourceCounters:
    """All series of a source, each at 0: Prometheus does not see the rise of a series that begins at 1."""
    return _SourceCounters(
        submitted=_SUBMITTED.labels(source),
        taken=_TAKEN.labels(source),
        given_back=_GIVEN_BACK.labels(source),
        expired=_EXPIRED.labels(source),
        finished={outcome: _FINISHED.labels(source, outcome) for outcome in OUTCOMES},
    )


# So that there is a sum before the first job.
_OF_OTHERS = _new_series(OTHERS)
_of_sources: dict[str, _SourceCounters] = {}


def _series(source: str) -> _SourceCounters:
    series = _of_sources.get(source)
    if series is None:
        if len(_of_sources) >= MOST_SOURCES:
            return _OF_OTHERS
        series = _of_sources[source] = _new_series(source)
    return series


def submitted(sources: Iterable[str]) -> None:
    """Count jobs that were stored, by their sources."""
    for source, jobs in Tally(sources).items():
        _series(source).submitted.inc(jobs)


def taken(sources: Iterable[str]) -> None:
    """Count jobs that were handed out, by their sources."""
    for source, jobs in Tally(sources).items():
        _series(source).taken.inc(jobs)


def finished(ends: Iterable[tuple[str, str]]) -> None:
    """Count jobs that are done, by their sources and outcomes."""
    for (source, outcome), jobs in Tally(ends).items():
        _series(source).finished[outcome].inc(jobs)


def given_back(sources: Iterable[str]) -> None:
    """Count jobs that were given back, by their sources."""
    for source, jobs in Tally(sources).items():
        _series(source).given_back.inc(jobs)


def leases_expired(sources: Iterable[str]) -> None:
    """Count leases that ran out, by the sources of their jobs."""
    for source, jobs in Tally(sources).items():
        _series(source).expired.inc(jobs)
