"""Scan cursors: how far the queue has been taken, so that takes search only past that. No HTTP, no SQL.

While an old transaction is open, PostgreSQL cannot remove the dead rows at the head of the queue, and each take walks
over all of them. This slows down every other queue on PostgreSQL (riverqueue/river#59). Without one, index entries of
dead rows stay until a vacuum cleans up the indexes, which beside a long history is seldom. Past a cursor there is
nothing dead to walk over. But jobs may land before it: one whose transaction got its position earlier and commits
later, one that was given back, or one that another replica stored with a priority that had no jobs. So cursors are used
only while there is much to walk over, they are reset to the start of the queue every second (maintenance.py), and a
take that finds nothing past them searches again from the start, unless there are no available jobs (handouts.py).
"""

from collections.abc import Iterable

from boss.model.job import Taken
from boss.model.scan_cursor import ScanCursor


class ScanCursors:
    """The cursors of one replica; none while they are not needed.

    Attributes:
        asked: the sources that jobs were taken from since the last reset, None for any; without one, maintenance does
            not read the queue.
        generation: how often the cursors were reset.
        needed: whether takes search past cursors. A source or priority without ready jobs has none.
    """

    def __init__(self) -> None:
        self._positions: dict[str | None, dict[int, int]] = {}
        self.asked: set[str | None] = set()
        self.generation = 0
        self.needed = False

    def reset(self, cursors: Iterable[ScanCursor] | None) -> None:
        """Replace all cursors with these; None: takes search from the start."""
        self.generation += 1
        self.needed = cursors is not None
        self._positions = {}
        for cursor in cursors or ():
            self._positions.setdefault(cursor.source, {})[cursor.priority] = cursor.position

    def for_sources(self, sources: Iterable[str | None]) -> list[ScanCursor]:
        """The cursors of these sources, the highest priority first."""
        return [
            ScanCursor(source=source, priority=priority, position=position)
            for source in sources
            for priority, position in sorted(self._positions.get(source, {}).items(), reverse=True)
        ]

    def include(self, stored: Iterable[tuple[str, int]]) -> None:
        """Begin at the start where new jobs were stored in a source and with a priority that have no cursor.

        Without this a job of a higher priority than all others would wait for the next reset.
        """
        for source, priority in stored:
            for of in (source, None):
                self._positions.setdefault(of, {}).setdefault(priority, 0)

    def advance(self, source: str | None, taken: Iterable[Taken], generation: int) -> None:
        """Advance the cursors past these jobs, unless they were reset since `generation`.

        The jobs were the first of their source, or of all sources when `source` is None. After a reset, jobs found with
        an older cursor could advance the new cursor past a job that it would have found.
        """
        if generation != self.generation:
            return
        for each in taken:
            # The first jobs of all sources are also the first of their own source.
            for of in {source, each.job.source}:
                positions = self._positions.setdefault(of, {})
                positions[each.priority] = max(each.position, positions.get(each.priority, 0))
