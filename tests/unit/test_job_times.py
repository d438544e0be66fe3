"""The histograms of waiting and run times."""

import pytest

from boss.telemetry import job_times
from boss.telemetry.metrics import REGISTRY


def told(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"boss_job_wait_seconds_{name}", labels) or 0.0


# Bucket n of the history has the times from 2^(n/4) to 2^((n+1)/4) ms.
@pytest.mark.parametrize(
    ("bucket", "below", "at"),
    [(0, "0.001", "0.002"), (3, "0.001", "0.002"), (4, "0.002", "0.004"), (47, "2.048", "4.096")],
)
def test_a_bucket_of_the_history_goes_where_its_times_are(bucket: int, below: str, at: str) -> None:
    before = {edge: told("bucket", le=edge) for edge in (below, at)}
    job_times.waited([bucket], [5], 1.5)
    assert told("bucket", le=below) == before[below]
    assert told("bucket", le=at) == before[at] + 5


def test_the_longest_times_have_a_bucket_without_an_end() -> None:
    count, total = told("count"), told("sum")
    finite = told("bucket", le="134217.728")
    job_times.waited([200, 12], [2, 1], 3600.0)
    assert told("bucket", le="134217.728") == finite + 1
    assert (told("count"), told("sum")) == (count + 3, total + 3600.0)
