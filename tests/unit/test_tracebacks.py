"""Errors in the log, wherever they are raised and logged: enough to find the fault, and nothing secret."""

import json
import os
import pty
import subprocess
import sys

import asyncpg
import pytest

from boss.telemetry.tracebacks import as_text, tell

SECRET = "planted-4711"
# One way after the other in which an error comes to be logged, all of it about a secret.
PROGRAM = """
import asyncio, gc, logging, sys, threading, warnings
from boss.telemetry.logging import configure

configure(quiet=True)
log = logging.getLogger("boss")
secret = "-".join(["planted", "4711"])

def fail(given):
    document = {"password": given}
    try:
        int(given)
    except ValueError:
        raise KeyError(given)

def caught(error):
    try:
        raise error
    except BaseException:
        log.exception("caught")

class Broken:
    def __init__(self, given):
        self.given = given
    def __del__(self):
        raise ValueError(self.given)

async def main():
    loop = asyncio.get_running_loop()
    async def forgotten(given):
        raise ValueError(given)
    task = asyncio.create_task(forgotten(secret))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    gc.collect()
    loop.call_soon(fail, secret)
    await asyncio.sleep(0.01)
    future = loop.create_future()
    future.set_exception(RuntimeError(secret))
    del future
    gc.collect()

try:
    fail(secret)
except KeyError:
    log.exception("a duty failed")
caught(OSError(2, "No such", f"/tmp/{secret}"))
caught(ExceptionGroup(secret, [ValueError(secret), TypeError("about code")]))
caught(UnicodeDecodeError("utf-8", secret.encode(), 0, 1, secret))
asyncio.run(main())
import uvloop
uvloop.run(main())
warnings.warn(f"careful: {secret}")
thread = threading.Thread(target=fail, args=(secret,))
thread.start()
thread.join()
Broken(secret)
gc.collect()
fail(secret)
"""


def test_no_way_of_logging_an_error_tells_what_it_was_about() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert SECRET not in done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    events = [line["event"] for line in lines]
    for words in (
        "a duty failed",
        "Task exception was never retrieved",
        "Exception in callback fail",
        "Future exception was never retrieved",
        "a thread has failed",
        "an error in passing",
        "Boss has failed",
    ):
        assert any(event.startswith(words) for event in events), words
    assert any("UserWarning" in event for event in events)
    [duty] = [line for line in lines if line["event"] == "a duty failed"]
    first, before = duty["exception"]
    assert (first["type"], before["type"]) == ("KeyError", "ValueError")
    assert first["frames"][-1].endswith("in fail")
    group = next(each for line in lines for each in line.get("exception", ()) if each["type"] == "TypeError")
    assert group["message"] == "about code"


def test_nor_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 1 << 16):
                shown += data
        except OSError:  # it has ended
            pass
        os.close(ours)
    assert process.returncode == 1
    assert SECRET.encode() not in shown
    for words in (b"a duty failed", b"in fail\r\n", b"KeyError", b"TypeError  message: about code", b"Boss has failed"):
        assert words in shown, words


def test_what_postgresql_says_is_its_sqlstate_and_names() -> None:
    fields = {"C": "23505", "M": SECRET, "D": SECRET, "t": "job", "n": "job_pkey", "W": SECRET}
    error = asyncpg.PostgresError.new(fields)
    [told] = tell(error)
    assert told == {
        "type": "asyncpg.exceptions.UniqueViolationError",
        "sqlstate": "23505",
        "table_name": "job",
        "constraint_name": "job_pkey",
        "frames": [],
    }
    assert "sqlstate: 23505" in as_text([told])


@pytest.mark.parametrize("error", [ValueError(SECRET), KeyError(SECRET), RuntimeError(SECRET), OSError(SECRET)])
def test_a_message_that_may_quote_is_not_kept(error: Exception) -> None:
    assert SECRET not in json.dumps(tell(error))


def test_a_long_chain_and_deep_frames_are_cut() -> None:
    def dive() -> None:
        dive()

    error: Exception = ValueError()
    for _ in range(100):
        error, before = ValueError(), error
        error.__cause__ = before
    assert len(tell(error)) == 10
    try:
        dive()
    except RecursionError as deep:
        frames = tell(deep)[0]["frames"]
        assert isinstance(frames, list)
        assert len(frames) == 40
    error.__cause__ = error  # a circle ends
    assert len(tell(error)) == 1
