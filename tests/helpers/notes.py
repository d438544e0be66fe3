"""Leaves notes with jobs."""

from typing import Any

import httpx

from tests.helpers.requests import submit


def leave(client: httpx.Client, path: str, note: str = '{"page": 3}', attempt: int | None = None) -> httpx.Response:
    headers = {} if attempt is None else {"if-match": f'"{attempt}"'}
    return client.put(f"/job/active/{path}", content=note, headers=headers)


def left_behind(client: httpx.Client, source: str, note: str = '{"page": 3}', **query: Any) -> str:
    """Submit a job whose first attempt leaves a note and is given back; return its id."""
    id = submit(client, source, **query)
    assert client.post(f"/job/active/{source}/{id}").status_code == 200
    assert leave(client, f"{source}/{id}", note).status_code == 204
    assert client.delete(f"/job/active/{source}/{id}?delay=0").status_code == 204
    return id
