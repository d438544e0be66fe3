"""How far the queue has been taken, for takes to look only past that. No HTTP, no SQL.

While any old transaction is open, PostgreSQL cannot clean up what stood at the head of the queue, and each take walks
over all of it: every other queue on PostgreSQL slows down by this (riverqueue/river#59). Past a mark there is nothing
to walk over. But jobs may land before it: one whose transaction drew its position earlier and commits later, one that
was given back, one of another replica with a priority that had no jobs. So marks are used only while there are many
dead rows, they are put anew from the start of the queue every second (sweeper.py), and a take that finds nothing past
them looks from the start (taking.py).
"""

from collections.abc import Iterable
from typing import NamedTuple

from boss.job import Taken


class Mark(NamedTuple):
    """Up to this position everything of this priority is taken; of this source, or of any under None."""

    source: str | None
    priority: int
    position: int


class Marks:
    """The marks of one replica; none while they are not needed.

    Attributes:
        takes: counts the statements that took, so that nobody looks for dead rows where nothing is taken.
        puts: counts how often marks were put.
        any: whether there are some.
    """

    def __init__(self) -> None:
        self._positions: dict[str | None, dict[int, int]] = {}
        self.takes = 0
        self.puts = 0
        self.any = False

    def put(self, marks: Iterable[Mark]) -> None:
        """Forget all marks, and use these."""
        self.puts += 1
        self._positions = {}
        for mark in marks:
            self._positions.setdefault(mark.source, {})[mark.priority] = mark.position
        self.any = bool(self._positions)

    def of(self, sources: Iterable[str | None]) -> list[Mark]:
        """The marks of these sources, the highest priority first."""
        return [
            Mark(source, priority, position)
            for source in sources
            for priority, position in sorted(self._positions.get(source, {}).items(), reverse=True)
        ]

    def advance(self, source: str | None, taken: Iterable[Taken], puts: int) -> None:
        """These were the first of that source, or of all under None, when marks had been put so many times.

        Had they been put again since, what was found by the older ones could lead past a job that the new ones show.
        """
        if puts != self.puts:
            return
        for each in taken:
            # The first of all are also the first of their own source.
            for of in {source, each.job.source}:
                positions = self._positions.setdefault(of, {})
                positions[each.priority] = max(each.position, positions.get(each.priority, 0))
