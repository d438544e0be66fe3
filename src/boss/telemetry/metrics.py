"""The metrics for Prometheus, each defined once. Those by source are in job_counts.py, and those read from the database
in http/routes/metrics.py.

Names and units follow https://prometheus.io/docs/practices/naming/. Every label has a bounded set of values. With
several worker processes, each reports the sums of all: they share files in $PROMETHEUS_MULTIPROC_DIR.
https://prometheus.github.io/client_python/multiprocess/
"""

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, disable_created_metrics
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

# Without the `_created` series, one for each series: Prometheus itself does not use them.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
_PROCESS = ProcessCollector(registry=REGISTRY)

_LATENCIES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

SCHEDULED = Counter(
    "boss_jobs_scheduled", "Jobs stored by schedules; they are among those submitted.", registry=REGISTRY
)
REDONE = Counter("boss_jobs_redone", "Done jobs made available again.", registry=REGISTRY)
PRUNED = Counter("boss_jobs_pruned", "Done jobs deleted.", registry=REGISTRY)
REQUESTS = Histogram(
    "boss_request_duration_seconds",
    "Time from a request's arrival to its answer; a take that waits, waits in it.",
    ["method", "route", "status"],
    buckets=_LATENCIES,
    registry=REGISTRY,
)
STATEMENTS = Histogram(
    "boss_statement_duration_seconds",
    "Time of a statement, waiting for a connection included.",
    ["statement"],
    buckets=_LATENCIES,
    registry=REGISTRY,
)
BATCHES = Histogram("boss_batch_size", "Requests that shared a statement.", ["kind"], buckets=_SIZES, registry=REGISTRY)
REFUSED = Counter(
    "boss_requests_refused",
    "Requests refused before they came to a resource, by problem: from a web page elsewhere, or too many.",
    ["problem"],
    registry=REGISTRY,
)
WAITING = Gauge(
    "boss_waiting_takers", "Takers that wait on this replica.", registry=REGISTRY, multiprocess_mode="livesum"
)
WAITING_FOR_END = Gauge(
    "boss_waiting_for_end",
    "Requests that wait on this replica for a job to be done.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
CONNECTIONS = Gauge(
    "boss_database_connections",
    "Connections of this replica.",
    ["use"],
    registry=REGISTRY,
    multiprocess_mode="livesum",
)


# The process collector above does not use the workers' shared files, so these gauges do.
_OF_WORKERS = {
    name: Gauge(name, f"{about} of all workers.", registry=None, multiprocess_mode="livesum")
    for name, about in (
        ("process_cpu_seconds", "Processor time"),
        ("process_resident_memory_bytes", "Resident memory"),
        ("process_virtual_memory_bytes", "Virtual memory"),
        ("process_open_fds", "Open files"),
    )
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ
}


def measure_worker() -> None:
    """Set the gauges of this worker's process, so that every worker can report them."""
    for family in _PROCESS.collect():
        if family.name in _OF_WORKERS:
            _OF_WORKERS[family.name].set(family.samples[0].value)


def collected() -> Iterator[Metric]:
    """All metrics, of all workers together. They are read when the first is asked for."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        yield from REGISTRY.collect()
    else:
        yield from MultiProcessCollector(CollectorRegistry(), folder).collect()  # type: ignore[no-untyped-call]
