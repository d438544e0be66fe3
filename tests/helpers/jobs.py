"""Reads the record of a job, and takes jobs."""

from datetime import datetime
from typing import Any

import httpx


def record(client: httpx.Client, id: str) -> dict[str, Any]:
    """A job with all its properties."""
    answer = client.get(f"/jobs/{id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def take(client: httpx.Client, source: str, **query: int) -> httpx.Response:
    answer = client.get(f"/job/available/{source}", params=query)
    assert answer.status_code == 200, answer.text
    return answer


def seconds(later: str, earlier: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def record_of(client: httpx.Client, source: str) -> dict[str, Any]:
    [job] = client.get(f"/jobs?source={source}").json()["jobs"]
    assert isinstance(job, dict)
    return job
