"""Processor time: of Boss's and of PostgreSQL's processes, each with all its descendants, and of the machine."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
from tests.helpers.servers import postmaster


class Spent(NamedTuple):
    """Processor time, in seconds."""

    boss: float
    postgres: float
    machine: float
    """By anybody at all, and by other machines on the same host."""


def spent(boss: int, data: Path) -> Spent:
    """The time used so far by the Boss with this process id, and by the embedded PostgreSQL in its data folder."""
    database = postmaster(data)
    times = psutil.cpu_times()
    machine = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
    return Spent(_of_all(boss, without=database), _of_all(database), machine)


def _of_all(pid: int, without: int | None = None) -> float:
    """The time of a process, of all its children that have ended, and of those that live, except one."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        total = sum(process.cpu_times()[:4])
        total += sum(_of_all(child.pid, without) for child in process.children() if child.pid != without)
    return total
