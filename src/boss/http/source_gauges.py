"""The gauges of `/metrics` that tell how each source stands.

At most 1,000 sources have series of their own: those with the most open jobs. The others share the series of
`(others)`, which has the sum of their jobs and the greatest of their ages.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.metrics_core import GaugeMetricFamily

from boss.model.diagnosis import Ages
from boss.model.job import State
from boss.model.overview import SourceView
from boss.telemetry.job_counts import MOST_SOURCES, OTHERS

_ABOUT_AVAILABLE = "Age of the first ready job, from its submit. A paused source has none."
_Counts = Mapping[tuple[str, State], int]
_Views = Mapping[str, SourceView]


def of_sources(counts: _Counts, ages: Sequence[Ages], views: _Views) -> Iterator[GaugeMetricFamily]:
    """The gauges, each made when it is asked for.

    Args:
        counts: the job counts.
        ages: the ages of the sources' jobs.
        views: how each source stands.
    """
    named = _named_sources(counts, views)
    yield _jobs(counts, named)
    yield _ready(views, named)
    yield _held(views, named)
    yield from _ages(ages, views, named)
    yield _attention(views)


def _named_sources(counts: _Counts, views: _Views) -> set[str]:
    open_jobs: Counter[str] = Counter(dict.fromkeys(views, 0))
    for (source, state), jobs in counts.items():
        open_jobs[source] += 0 if state is State.DONE else jobs
    return {source for source, _ in open_jobs.most_common(MOST_SOURCES)}


def _jobs(counts: _Counts, named: set[str]) -> GaugeMetricFamily:
    # A state without a job is told as 0: a sum with a series that is not there would be nothing.
    totals: Counter[tuple[str, ...]] = Counter({(source, state): 0 for source in named for state in State})
    for (source, state), jobs in counts.items():
        totals[source if source in named else OTHERS, state] += jobs
    return _family("boss_jobs", "Jobs there are.", ["source", "state"], totals)


def _ready(views: _Views, named: set[str]) -> GaugeMetricFamily:
    totals: Counter[tuple[str, ...]] = Counter()
    for source, view in views.items():
        totals[source if source in named else OTHERS,] += view.takeable
    about = "Available jobs that converters could take within a second."
    return _family("boss_jobs_ready", about, ["source"], totals)


def _held(views: _Views, named: set[str]) -> GaugeMetricFamily:
    totals: Counter[tuple[str, ...]] = Counter()
    for source, view in views.items():
        for why, jobs in _held_by(view):
            if jobs:
                totals[source if source in named else OTHERS, why] += jobs
    about = "Available jobs that no converter could take within a second, by what holds them back."
    return _family("boss_jobs_held", about, ["source", "why"], totals)


def _held_by(view: SourceView) -> Iterator[tuple[str, int]]:
    yield "delayed", view.queue.delayed
    yield "blocked", view.queue.blocked
    yield "paused" if view.paused else "limited", view.queue.ready - view.takeable


def _ages(ages: Sequence[Ages], views: _Views, named: set[str]) -> Iterator[GaugeMetricFamily]:
    # Nobody can take a job of a paused source, so its age tells nothing: it would only fire alerts.
    paused = {source for source, view in views.items() if view.paused}
    of_available = {
        each.source: each.available for each in ages if each.available is not None and each.source not in paused
    }
    of_active = {each.source: each.active for each in ages if each.active is not None}
    for name, about, found in (
        ("boss_oldest_available_age_seconds", _ABOUT_AVAILABLE, of_available),
        ("boss_oldest_active_age_seconds", "Age of the oldest active job, from its take.", of_active),
    ):
        oldest: dict[tuple[str, ...], float] = {(source,): age for source, age in found.items() if source in named}
        if rest := [age for source, age in found.items() if source not in named]:
            oldest[OTHERS,] = max(rest)
        yield _family(name, about, ["source"], oldest)


def _attention(views: _Views) -> GaugeMetricFamily:
    """Only the sources that need attention have a series. A failing one may have no open job: all have the same right
    to one of their own.
    """
    totals: Counter[tuple[str, ...]] = Counter()
    needing = [source for source, view in views.items() if view.attention]
    for number, source in enumerate(needing):
        for each in views[source].attention:
            totals[source if number < MOST_SOURCES else OTHERS, each.reason.replace(" ", "_")] += 1
    about = "1 for a source that needs attention, by the reason, as the dashboard and boss doctor say."
    return _family("boss_source_attention", about, ["source", "reason"], totals)


def _family(name: str, about: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=labels)
    for of, value in sorted(values.items()):
        family.add_metric(of, value)
    return family
