"""Requests that most tests send, and what is expected of their answers."""

import re

import httpx


def submit(client: httpx.Client, path: str, document: str = "{}", **query: str | int | float) -> str:
    """Submit a job to /job/available/`path` and return its id."""
    answer = client.post(f"/job/available/{path}", content=document, params=query)
    assert answer.status_code == 201, answer.text
    id: str = answer.json()["id"]
    return id


def assert_problem(answer: httpx.Response, status: int, says: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert re.search(says, problem["detail"]), problem["detail"]
