"""How far the queue has been taken, for takes to look only past that. No HTTP, no SQL.

While an old transaction is open, PostgreSQL cannot remove the dead rows at the head of the queue, and each take walks
over all of them: every other queue on PostgreSQL slows down by this (riverqueue/river#59). Past a cursor there is
nothing to walk over. But jobs may land before it: one whose transaction drew its position earlier and commits later,
one that was given back, one of another replica with a priority that had no jobs. So cursors are used only while there
are many dead rows, they are reset to the start of the queue every second (maintenance.py), and a take that finds
nothing past them searches from the start (taker.py).
"""

from collections.abc import Iterable

from boss.model.job import Taken
from boss.model.scan_cursor import ScanCursor


class ScanCursors:
    """The cursors of one replica; none while they are not needed.

    Attributes:
        takes: how many statements took jobs, so that nobody looks for dead rows where nothing is taken.
        generation: how often the cursors were reset.
        any: whether there are some.
    """

    def __init__(self) -> None:
        self._positions: dict[str | None, dict[int, int]] = {}
        self.takes = 0
        self.generation = 0
        self.any = False

    def reset(self, cursors: Iterable[ScanCursor]) -> None:
        """Replace all cursors by these."""
        self.generation += 1
        self._positions = {}
        for cursor in cursors:
            self._positions.setdefault(cursor.source, {})[cursor.priority] = cursor.position
        self.any = bool(self._positions)

    def for_sources(self, sources: Iterable[str | None]) -> list[ScanCursor]:
        """The cursors of these sources, the highest priority first."""
        return [
            ScanCursor(source, priority, position)
            for source in sources
            for priority, position in sorted(self._positions.get(source, {}).items(), reverse=True)
        ]

    def advance(self, source: str | None, taken: Iterable[Taken], generation: int) -> None:
        """Advance the cursors past these jobs, unless they were reset since `generation`.

        The jobs were the first of their source, or of all sources where it is None. After a reset, what an older cursor
        found could lead past a job that the new one shows.
        """
        if generation != self.generation:
            return
        for each in taken:
            # The first of all are also the first of their own source.
            for of in {source, each.job.source}:
                positions = self._positions.setdefault(of, {})
                positions[each.priority] = max(each.position, positions.get(each.priority, 0))
