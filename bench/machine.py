"""The machine of a benchmark, and its results: one section of bench/results.md for each benchmark."""

import datetime
import platform
import re
import statistics
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import psutil

from bench.interpreter import described

RESULTS = Path(__file__).parent / "results.md"
_TITLE = "# What was measured\n"


def machine() -> str:
    """The machine and the versions, in a sentence."""
    cpu = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = int(re.findall(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[0]) / 2**20
    packages = [f"{package} {version(package)}" for package in ("httptools", "uvloop", "asyncpg")]
    return (
        f"{len(cpu)} cores of {cpu[0]}, {memory:.0f} GiB, Linux {platform.release()}, "
        f"{described(Path(sys.executable))[0]}, {', '.join(packages)}, embedded PostgreSQL 18 with fsync and "
        f"synchronous_commit on, its data on {_file_system()}; the load, Boss and PostgreSQL share the machine"
    )


def _file_system() -> str:
    """The kind of file system where the data is: fsync costs nothing on a tmpfs, which is in memory."""
    folder = Path(tempfile.gettempdir()).resolve()
    mounts = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
    return next(mounts[path] for path in (folder, *folder.parents) if path in mounts)


def ratio(one: list[float], other: list[float]) -> str:
    """The ratio of the one to the other as two cells of a table: its median and its spread over the rounds.

    It is taken within each round, because the machine may be faster in one round than in another.
    """
    ratios = sorted(ratios_of(one, other))
    return f"{statistics.median(ratios):.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f}"


def ratios_of(one: list[float], other: list[float]) -> list[float]:
    """The ratio of the one to the other in each round."""
    return [a / b for a, b in zip(one, other, strict=True)]


def write_section(heading: str, lines: list[str]) -> None:
    """Print the results, and replace the section with this heading by them."""
    text = "\n".join(
        [f"## {heading}", "", f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC, {machine()}.", *lines]
    )
    print(text)
    sections = re.split(r"^(?=## )", RESULTS.read_text(), flags=re.MULTILINE)[1:] if RESULTS.exists() else []
    kept = {section.split("\n", 1)[0]: section.strip("\n") for section in sections}
    kept[f"## {heading}"] = text.strip("\n")
    RESULTS.write_text("\n\n".join([_TITLE.strip(), *kept.values()]) + "\n")
