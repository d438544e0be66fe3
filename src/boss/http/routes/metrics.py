"""`/metrics`, for Prometheus: counters and durations, and the number and ages of the jobs there are now."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from boss.dispatch.queries import Queries
from boss.errors import DatabaseAway
from boss.http.auth import requires
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import NO_STORE, Response
from boss.model.diagnosis import Ages
from boss.model.job import State
from boss.model.permissions import Permission
from boss.telemetry.metrics import collected

# This many sources, those with the most open jobs, have series of their own. The others share one series, whose name
# cannot be a source's.
_MOST_SOURCES = 1000
_OTHERS = "(others)"

_Counts = Mapping[tuple[str, State], int]


def resources(queries: Queries) -> Sequence[Resource]:
    """The resource."""

    @requires(Permission.MONITOR)
    async def metrics(request: Request) -> Response:
        """GET /metrics: all metrics, in the format that Accept asks for.

        While the database is away, the metrics that need it are left out.
        https://prometheus.io/docs/instrumenting/exposition_formats/
        """
        request.query()
        encode, content_type = _encoder(request.header(b"accept") or "")
        try:
            here = [*_of_jobs(await queries.count(), await queries.ages()), _gauge("boss_database_up", _UP, 1)]
        except DatabaseAway:
            here = [_gauge("boss_database_up", _UP, 0)]
        queries.measure()
        return Response(200, [(b"content-type", content_type.encode()), NO_STORE], encode(_Everything(here)))

    return [Resource("/metrics", {"GET": metrics})]


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """The format that Accept asks for; the usual one when its version is malformed."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        return choose_encoder("")


_UP = "Whether the database answers."


class _Everything(Collector):
    def __init__(self, here: Iterable[Metric]) -> None:
        self._here = here

    def collect(self) -> Iterator[Metric]:
        """The metrics that were collected, and those that were just read from the database."""
        yield from collected()
        yield from self._here


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)


def _by(name: str, about: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, labels=labels)


def _of_jobs(counts: _Counts, ages: Sequence[Ages]) -> list[GaugeMetricFamily]:
    named = _named_sources(counts)
    totals: Counter[tuple[str, State]] = Counter()
    for (source, state), jobs in counts.items():
        totals[source if source in named else _OTHERS, state] += jobs
    jobs_family = _by("boss_jobs", "Jobs there are.", ["source", "state"])
    for (source, state), jobs in sorted(totals.items()):
        jobs_family.add_metric([source, state], jobs)
    available = _by("boss_oldest_available_age_seconds", "Age of the first ready job, from its submit.", ["source"])
    active = _by("boss_oldest_active_age_seconds", "Age of the oldest active job, from its take.", ["source"])
    for family, ages_of in (
        (available, {each.source: each.available for each in ages}),
        (active, {each.source: each.active for each in ages}),
    ):
        for source, age in ages_of.items():
            if age is not None and source in named:
                family.add_metric([source], age)
        rest = [age for source, age in ages_of.items() if age is not None and source not in named]
        if rest:
            family.add_metric([_OTHERS], max(rest))
    return [jobs_family, available, active]


def _named_sources(counts: _Counts) -> set[str]:
    open_jobs: Counter[str] = Counter()
    for (source, state), jobs in counts.items():
        open_jobs[source] += 0 if state is State.DONE else jobs
    return {source for source, _ in open_jobs.most_common(_MOST_SOURCES)}
