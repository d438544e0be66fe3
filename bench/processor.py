"""Processor time: of Boss's processes, of its PostgreSQL's, each with all that came from it, and of the machine."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
from tests.helpers.servers import postmaster


class Spent(NamedTuple):
    """Seconds of processor time."""

    boss: float
    postgres: float
    machine: float
    """By anybody at all, and by other machines on the same host."""


def spent(boss: int, data: Path) -> Spent:
    """What the Boss with this process id, and the embedded PostgreSQL in its data folder, have used so far."""
    database = postmaster(data)
    times = psutil.cpu_times()
    machine = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
    return Spent(_of_all(boss, without=database), _of_all(database), machine)


def _of_all(pid: int, without: int | None = None) -> float:
    """Of a process, of all its children that have ended, and of those that live, but for one."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        total = sum(process.cpu_times()[:4])
        total += sum(_of_all(child.pid, without) for child in process.children() if child.pid != without)
    return total
