"""What Boss counts and times, for Prometheus: each metric once. Nothing here asks the database (http/metrics.py does).

Names and units go by https://prometheus.io/docs/practices/naming/. Every label has a bounded set of values.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

# A series for each series, of when it began: Prometheus itself makes no use of them.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_LATENCIES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

SUBMITTED = Counter("boss_jobs_submitted", "Jobs stored.", registry=REGISTRY)
TAKEN = Counter("boss_jobs_taken", "Jobs handed out, each attempt counted.", registry=REGISTRY)
FINISHED = Counter("boss_jobs_finished", "Jobs done, by outcome.", ["outcome"], registry=REGISTRY)
GIVEN_BACK = Counter("boss_jobs_given_back", "Jobs given back by their takers.", registry=REGISTRY)
EXPIRED = Counter("boss_leases_expired", "Leases that ran out.", registry=REGISTRY)
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
