"""Notes: what converters leave with their jobs. Those that come at once share a statement."""

from collections.abc import Sequence
from operator import attrgetter

from boss.coalescer import Coalescer, Turns
from boss.dispatch.mismatches import not_moved
from boss.dispatch.queries import Queries
from boss.dispatch.rounds import rounds
from boss.model.job import Note, State
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.telemetry import metrics

# The most characters of notes in one statement.
_MOST_TEXT = 8 * 1024 * 1024
_NOTES = metrics.BATCHES.labels("note")
# What a note is about. Of two notes about the same, the later one stays.
_about = attrgetter("id", "source", "attempt")


class Notes:
    """Leaves notes with active jobs.

    Args:
        pool: the connection pool.
        queries: finds out where a job is.
        turns: the turns that frequent requests take.
    """

    def __init__(self, pool: Pool, queries: Queries, turns: Turns) -> None:
        self._pool = pool
        self._queries = queries
        self._notes = Coalescer(self._leave_all, most=_MOST_TEXT, weigh=lambda note: len(note.text) + 100, turns=turns)

    async def leave(self, note: Note) -> None:
        """Leave a note with an active job, in place of the one before, and renew its lease.

        Raises:
            NotThere: the job is not active.
            WrongAttempt: it is in another attempt than the one given.
            BadInput: jsonb cannot store the note.
        """
        if not await self._notes(note):
            location = await self._queries.locate(note.id)
            raise not_moved(State.ACTIVE, note.source, note.id, note.attempt, location)

    async def _leave_all(self, notes: Sequence[Note]) -> list[bool]:
        _NOTES.observe(len(notes))
        last = {_about(note): index for index, note in enumerate(notes)}
        latest = [notes[index] for index in sorted(last.values())]
        left = set[object]()
        # One statement changes a job once. Two notes for a job here name it differently: one has no attempt.
        for indexes in rounds([note.id for note in latest]):
            asked = [latest[index] for index in indexes]
            ids = await store.leave_notes(self._pool, asked)
            left |= {_about(note) for note in asked if note.id in ids}
        return [_about(note) in left for note in notes]
