"""Limits of sources."""

import re

import httpx

from tests.helpers.servers import until

NO_DEFAULTS = dict.fromkeys(("attempts", "delays", "lease", "timeout", "rate", "keep_done"))
_LOADS = re.compile(r'^boss_statement_duration_seconds_count\{statement="source_limits"\} (\S+)$', re.MULTILINE)


def rule(client: httpx.Client, source: str, **rule: object) -> None:
    answer = client.put(f"/source/{source}", json=rule)
    assert answer.status_code == 200, answer.text


def until_known(*replicas: httpx.Client) -> None:
    """Wait until each of these replicas knows the limits as they are now."""
    for replica in replicas:
        # One load may be under way already.
        enough = _loads(replica) + 2
        until(lambda replica=replica, enough=enough: _loads(replica) >= enough)  # type: ignore[misc]


def _loads(replica: httpx.Client) -> float:
    """How often a replica has loaded the limits."""
    found = _LOADS.search(replica.get("/metrics").text)
    assert found
    return float(found[1])
