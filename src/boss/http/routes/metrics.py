"""`/metrics`, for Prometheus: counters and durations, and the number and ages of the jobs there are now."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

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
from boss.http.source_gauges import of_sources
from boss.model.permissions import Permission
from boss.telemetry.metrics import collected


def resources(queries: Queries) -> Sequence[Resource]:
    """The resource."""
    turn = asyncio.Lock()

    async def of_database() -> Iterable[Metric]:
        try:
            counts = await queries.count()
            ages, views = await queries.ages(), await queries.sources_now(counts)
        except DatabaseAway:
            return [_is_up(0)]
        # Made in the thread, as they are encoded.
        return chain([_is_up(1)], of_sources(counts, ages, views))

    @requires(Permission.MONITOR)
    async def metrics(request: Request) -> Response:
        """GET /metrics: all metrics, in the format that Accept asks for.

        While the database is away, the metrics that need it are left out.
        https://prometheus.io/docs/instrumenting/exposition_formats/
        """
        request.query()
        encode, content_type = _encoder(request.header(b"accept") or "")
        here = await of_database()
        queries.measure()
        # In the loop, the 14,000 lines of 1,000 sources would keep all requests waiting for 110 ms; with the thread
        # beside it the longest wait is 20 ms. One thread at a time, so that no number of scrapes makes it longer.
        async with turn:
            text = await asyncio.to_thread(encode, _Everything(here))
        return Response(200, [(b"content-type", content_type.encode()), NO_STORE], text)

    return [Resource("/metrics", {"GET": metrics})]


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """The format that Accept asks for; the usual one when its version is malformed."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        return choose_encoder("")


class _Everything(Collector):
    def __init__(self, here: Iterable[Metric]) -> None:
        self._here = here

    def collect(self) -> Iterator[Metric]:
        """The metrics that were collected, and those that were just read from the database."""
        yield from collected()
        yield from self._here


def _is_up(value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily("boss_database_up", "Whether the database answers.", value=value)
