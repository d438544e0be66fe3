"""A converter as a process of its own, to be killed. By the design it polls, checks and finishes, on any replica.

Usage: python chaos_converter.py NAME LOG PORT...
It writes a line for each response before it acts on it: `taken ID ATTEMPT`, `done ID ATTEMPT`.
"""

import http.client
import json
import os
import random
import sys
import time
from collections.abc import Mapping

NAME, LOG, *PORTS = sys.argv[1:]
log = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
connection: http.client.HTTPConnection | None = None


def note(*words: str) -> None:
    """Write a line with one call, so that a kill cannot cut it."""
    os.write(log, (" ".join(words) + "\n").encode())


def ask(
    method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> tuple[int, Mapping[str, str], bytes] | None:
    """Send a request to any replica; return the response, or None when its outcome is unknown."""
    global connection
    try:
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", int(random.choice(PORTS)), timeout=10)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    except (TimeoutError, OSError, http.client.HTTPException):
        if connection:
            connection.close()
        connection = None
        time.sleep(random.random() * 0.1)
        return None


def convert(source: str, id: str, etag: str) -> None:
    """Work for a while with a heartbeat now and then, stop when the job is lost, and finish it."""
    until = time.monotonic() + random.expovariate(1 / 0.05)
    while time.monotonic() < until:
        time.sleep(min(0.1, random.random() * 0.2))
        checked = ask("HEAD", f"/job/active/{source}/{id}", {"If-Match": etag})
        if checked and checked[0] in (404, 412):
            return
    if random.random() < 0.05:
        ask("DELETE", f"/job/active/{source}/{id}?delay=0", {"If-Match": etag})
        return
    result = json.dumps({"by": NAME, "attempt": int(etag.strip('"'))}).encode()
    while True:
        answer = ask("POST", f"/job/done/{source}/{id}", {"If-Match": etag}, result)
        if answer and answer[0] != 503:
            if answer[0] == 200:
                note("done", id, etag.strip('"'))
            return


while True:
    path = random.choice(
        ["/job/available?lease=2", "/job/available/source-1?lease=2&wait=1", "/job/available?lease=2&wait=5"]
    )
    taken = ask("GET", path, {"Idempotency-Key": f"{NAME}-{time.time_ns()}"} if random.random() < 0.2 else {})
    if taken and taken[0] == 200:
        job, etag = json.loads(taken[2]), taken[1]["etag"]
        note("taken", job["id"], etag.strip('"'))
        convert(job["source"], job["id"], etag)
    elif taken:
        time.sleep(0.05)
