"""Prepares jobs for a load through Boss's own API, so that it works with any version, whatever its tables are."""

import json

import httpx

_NDJSON = "application/x-ndjson"
_DOCUMENT = {"payload": "x" * 186}
# The most lines of a request.
_LINES = 1000


def submit(url: str, jobs: int) -> None:
    """Submit so many jobs, called done-0 and so on, for load/done.lua."""
    with httpx.Client(base_url=url, timeout=60, headers={"Content-Type": _NDJSON}) as client:
        for first in range(0, jobs, _LINES):
            numbers = range(first, min(jobs, first + _LINES))
            lines = (json.dumps({"id": f"done-{number}", "job": _DOCUMENT}) for number in numbers)
            client.post("/job/available/bench?ids=given", content="\n".join(lines)).raise_for_status()


def take_all(url: str) -> None:
    """Take every job that is available."""
    with httpx.Client(base_url=url, timeout=60, headers={"Accept": _NDJSON}) as client:
        while (answer := client.get(f"/job/available?limit={_LINES}")).status_code != httpx.codes.NOT_FOUND:
            answer.raise_for_status()
