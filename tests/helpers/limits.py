"""Limits of sources."""

import httpx


def rule(client: httpx.Client, source: str, **rule: object) -> None:
    answer = client.put(f"/source/{source}", json=rule)
    assert answer.status_code == 200, answer.text
