"""Histograms of how long jobs wait for their first take, and run.

They are filled once a minute, from the times of the jobs that ended in it (postgres/history.py). So they cost the path
of a job nothing; two observations on it would cost a hundredth of a busy Boss. They have no label `source`, which would
be 60,000 series for 1,000 sources; `GET /source/{source}/history` has the percentiles of each.
"""

from collections.abc import Sequence

from prometheus_client import Histogram

from boss.telemetry.metrics import REGISTRY

# From a millisecond to a day and a half, each bucket twice as wide as the one before. The history has four buckets in
# each of these, so its numbers go into them exactly.
_DOUBLINGS = 28
_BUCKETS = [2**doubling / 1000 for doubling in range(_DOUBLINGS)]
_WAIT = Histogram(
    "boss_job_wait_seconds",
    "Time from submit to take, of jobs that ended in their first attempt; counted once a minute.",
    buckets=_BUCKETS,
    registry=REGISTRY,
)
_RUN = Histogram(
    "boss_job_run_seconds",
    "Time from the last take to the end, of jobs that were not stopped; counted once a minute.",
    buckets=_BUCKETS,
    registry=REGISTRY,
)


def waited(buckets: Sequence[int], jobs: Sequence[int], seconds: float) -> None:
    """Add how long jobs waited for their first take: their number by bucket of the history, and the sum."""
    _add(_WAIT, buckets, jobs, seconds)


def ran(buckets: Sequence[int], jobs: Sequence[int], seconds: float) -> None:
    """Add how long jobs ran: their number by bucket of the history, and the sum."""
    _add(_RUN, buckets, jobs, seconds)


def _add(histogram: Histogram, buckets: Sequence[int], jobs: Sequence[int], seconds: float) -> None:
    # prometheus_client has no public way to add more than one observation: a minute may have 300,000.
    histogram._sum.inc(seconds)
    for bucket, number in zip(buckets, jobs, strict=True):
        # Bucket n of the history ends at 2^((n+1)/4) ms.
        histogram._buckets[min(-(-(bucket + 1) // 4), _DOUBLINGS)].inc(number)
