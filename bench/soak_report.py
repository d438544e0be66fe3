"""The report of a soak: what has to stay as it was, and how it looks."""

import statistics
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Sample:
    """One sample: what was measured at one moment or since the last sample. Memory and files are those of the replica
    that is never killed.
    """

    second: float
    memory: float
    files: int
    sessions: int
    size: float
    p99: float
    rate: float


@dataclass
class Ledger:
    """The successful answers to the clients: what they promise must hold."""

    submitted: set[str] = field(default_factory=set)
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)
    finished: set[str] = field(default_factory=set)
    # Jobs whose finish was sent and never answered: they may be done or not.
    unsure: set[str] = field(default_factory=set)
    times: list[float] = field(default_factory=list)
    requests: int = 0
    unanswered: int = 0


@dataclass
class Report:
    """The findings of a soak."""

    peak: float
    pace: float
    samples: list[Sample]
    faults: list[tuple[float, str]]
    ledger: Ledger

    def lost(self) -> set[str]:
        """The jobs that Boss said it has stored, and that are now neither done nor left."""
        return self.ledger.submitted - self.ledger.finished - self.ledger.unsure

    def twice(self) -> list[tuple[str, str]]:
        """The attempts that were handed out more than once."""
        return [attempt for attempt, times in self.ledger.taken.items() if times > 1]

    def growth(self) -> dict[str, tuple[float, float, float]]:
        """The growth of each measure after the first minute: medians in the first and last third, and their ratio."""
        steady = [sample for sample in self.samples if sample.second > 60]
        third = max(1, len(steady) // 3)
        found = {}
        for name in ("memory", "files", "sessions", "size", "p99"):
            first, last = (
                statistics.median(getattr(sample, name) for sample in part)
                for part in (steady[:third], steady[-third:])
            )
            found[name] = first, last, last / first
        return found


# How much higher the last third may be than the first: a recent fault may show in a sample, without being a trend.
ALLOWED = {"memory": 1.15, "files": 1.15, "sessions": 1.3, "size": 1.3, "p99": 1.5}
UNITS = {
    "memory": "memory of the replica that lives on, MiB",
    "files": "its file descriptors",
    "sessions": "database sessions of all",
    "size": "tables and indexes, MiB",
    "p99": "take, 99th percentile, ms",
}


def plot(report: Report, file: Path) -> None:
    """Plot each measure over time, with the faults."""
    # Imported here because it is installed for benchmarks only (make soak).
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "boss"
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(UNITS), 1, figsize=(10, 11), sharex=True, layout="constrained")
    minutes = [sample.second / 60 for sample in report.samples]
    for axis, (name, title) in zip(axes, UNITS.items(), strict=True):
        axis.plot(minutes, [getattr(sample, name) for sample in report.samples])
        axis.set_title(title, loc="left", fontsize=9)
        axis.set_ylim(bottom=0)
        for second, what in report.faults:
            axis.axvline(second / 60, color="tab:red" if "killed" in what else "tab:orange", alpha=0.4, linewidth=0.8)
    axes[-1].set_xlabel("minutes; the lines are faults, red where a replica was killed")
    figure.savefig(file, metadata={"Date": None})
