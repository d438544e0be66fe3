"""Requests that most tests send, and what is expected of their answers."""

import re

import httpx


def submit(client: httpx.Client, path: str, document: str = "{}", **query: str | int | float) -> str:
    """Submit a job to /job/available/`path` and return its id."""
    answer = client.post(f"/job/available/{path}", content=document, params=query)
    assert answer.status_code == 201, answer.text
    id: str = answer.json()["id"]
    return id


def wait_for_job(url: str) -> httpx.Response:
    """Take a job, and wait for one as long as it takes, which on a slow machine is longer than one request may wait.

    The URL says how long a request waits: `wait=50`, the most.
    """
    while (answer := httpx.get(url, timeout=70)).status_code == 404:
        assert answer.elapsed.total_seconds() > 49, f"it was to wait for 50 s: {answer.text}"
    return answer


def assert_problem(answer: httpx.Response, status: int, says: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert re.search(says, problem["detail"]), problem["detail"]
