"""`/metrics`, for Prometheus: counters and durations, and the number and ages of the jobs there are now."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import chain

from prometheus_client import Metric
from prometheus_client.metrics_core import GaugeMetricFamily

from boss.dispatch.queries import Queries
from boss.errors import DatabaseAway
from boss.http.auth import requires
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import NO_STORE, Response
from boss.http.source_gauges import of_sources
from boss.model.permissions import Permission
from boss.telemetry import exposition
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
        # Made in the thread, as they are written.
        return chain([_is_up(1)], of_sources(counts, ages, views))

    @requires(Permission.MONITOR)
    async def metrics(request: Request) -> Response:
        """GET /metrics: all metrics, in the format that Accept asks for.

        While the database is away, the metrics that need it are left out.
        https://prometheus.io/docs/instrumenting/exposition_formats/
        """
        request.query()
        content_type = exposition.content_type_for(request.header(b"accept") or "")
        here = await of_database()
        queries.measure()
        # In the loop, the 16,000 lines of 1,000 sources would keep all requests waiting for 70 ms; beside a thread they
        # wait for 1 or 2 ms. One thread at a time, so that no number of scrapes makes it longer.
        async with turn:
            text = await asyncio.to_thread(exposition.text, chain(collected(), here), content_type)
        return Response(200, [(b"content-type", content_type.encode()), NO_STORE], text)

    return [Resource("/metrics", {"GET": metrics})]


def _is_up(value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily("boss_database_up", "Whether the database answers.", value=value)
