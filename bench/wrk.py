"""Loads from wrk, which is compiled: the rates and latencies of Boss under them."""

import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

LOAD = Path(__file__).parent / "load"
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class Loaded(NamedTuple):
    """The result of a load. It counts requests, or whole cycles of them where the script counts those."""

    done: int
    rate: float
    """So many of them a second."""
    p50: float
    """A request's milliseconds, the median; the next request is sent when this one is answered."""
    p99: float
    processor: float
    """wrk's own seconds of processor time."""


def whole(seconds: float) -> int:
    """The time that wrk runs, in seconds: it takes whole seconds only."""
    return max(1, round(seconds))


def load(url: str, script: str | None, connections: int, seconds: float, *arguments: str) -> Loaded:
    """Run wrk.

    Raises:
        RuntimeError: more than a hundredth of the requests failed, and the script does not expect that; or it counted
            nothing.
    """
    if not shutil.which("wrk"):
        sys.exit("wrk is needed: apt-get install wrk")
    scripted = ["-s", str(LOAD / script)] if script else []
    command = [
        "wrk",
        "--latency",
        "-t1",
        f"-c{connections}",
        f"-d{whole(seconds)}s",
        *scripted,
        url,
        "--",
        *arguments,
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    cycles = re.search(r"^cycles (\d+)", said, re.MULTILINE)
    rate = float(re.findall(r"Requests/sec:\s+([\d.]+)", said)[0])
    requests = int(re.findall(r"(\d+) requests in", said)[0])
    if wrong and not cycles and int(wrong[1]) > requests / 100:
        raise RuntimeError(f"{script}: {wrong[1]} requests went wrong")
    done = int(cycles[1]) if cycles else requests
    if not done:
        raise RuntimeError(f"{script}: nothing was done\n{said}")
    return Loaded(done, done / requests * rate, _percentile(said, 50), _percentile(said, 99), processor)


def wrk(url: str, script: str | None, *arguments: str) -> Callable[[int, float], float]:
    """The rate of requests, or of whole cycles, a second, at so many connections for so many seconds."""
    return lambda connections, seconds: load(url, script, connections, seconds, *arguments).rate


def _percentile(said: str, which: int) -> float:
    found = re.findall(rf"^\s+{which}%\s+([\d.]+)(us|ms|s|m)$", said, re.MULTILINE)
    return float(found[0][0]) * _MILLISECONDS[found[0][1]] if found else 0
