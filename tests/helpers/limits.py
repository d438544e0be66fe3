"""Limits of sources."""

import re
from operator import ge

import httpx

from tests.helpers.servers import until

NO_DEFAULTS = dict.fromkeys(("attempts", "delays", "lease", "timeout", "rate", "keep_done"))
_LOADS = re.compile(r'^boss_statement_duration_seconds_count\{statement="source_limits"\} (\S+)$', re.MULTILINE)


def rule(client: httpx.Client, source: str, **rule: object) -> None:
    answer = client.put(f"/source/{source}", json=rule)
    assert answer.status_code == 200, answer.text


def until_known(*replicas: httpx.Client) -> None:
    """Wait until each of these replicas knows the limits as they are now."""
    # One load may be under way already.
    enough = [_loads(replica) + 2 for replica in replicas]
    # They load once a second, and to write their metrics takes the processor 10 ms.
    until(lambda: all(map(ge, map(_loads, replicas), enough)), pause=0.2)


def _loads(replica: httpx.Client) -> float:
    """How often a replica has loaded the limits."""
    found = _LOADS.search(replica.get("/metrics").text)
    assert found
    return float(found[1])
