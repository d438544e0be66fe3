"""The dispatcher: submit, take, check, finish and give back. Frequent requests share statements through coalescers."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from operator import attrgetter

from boss.coalescer import Coalescer
from boss.dispatch.dependents import submit_after
from boss.dispatch.history import empty_old_volumes
from boss.dispatch.mismatches import check_location, mismatch, not_finished, not_moved, not_taken, where
from boss.dispatch.notes import Notes
from boss.dispatch.queries import Queries
from boss.dispatch.rounds import rounds
from boss.dispatch.source_limits import SourceLimits
from boss.dispatch.taker import Taker
from boss.dispatch.wait_queue import WaitQueue
from boss.errors import BadInput, BossError, IdTaken, NoJob, RuleChanged, SourceInUse, TooMany, UnknownJobs
from boss.model.job import (
    After,
    Change,
    Check,
    Finish,
    GiveBack,
    Job,
    Location,
    Outcome,
    State,
    Submission,
    Take,
    Taken,
)
from boss.model.source_rule import SourceRule
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.postgres.statement import MOST_ROWS
from boss.telemetry import job_counts, job_log, metrics
from boss.telemetry.job_log import JobEvent

log = logging.getLogger("boss")

# The most characters of documents in one statement, so that a batch of large ones stays small in memory.
_MOST_DOCUMENT = 8 * 1024 * 1024
# How many submits may lock the jobs that they name at once: each waits for whoever has these locked, with a connection.
_MOST_AFTER_AT_ONCE = 3
# The most jobs that one prune request deletes, so that it answers in time; it can be sent again.
_MOST_PRUNED = 10_000
# How long one prune request starts new statements; the last one may run past this.
_LONGEST_PRUNE_S = 5.0
_SUBMITS, _FINISHES, _GIVE_BACKS, _CHECKS = map(metrics.BATCHES.labels, ("submit", "finish", "give back", "check"))
_FAILED = Outcome.FAILED


class Dispatcher:
    """Dispatches jobs over one connection pool. Any number of dispatchers may share a database.

    Every method raises `DatabaseAway` when PostgreSQL does not answer.

    Args:
        pool: the connection pool.
        wait_queue: the takers that wait on this replica.
        limits: the source limits.
        taker: hands out jobs, over the same pool, queue and limits.
        queries: finds out where a job is.
    """

    def __init__(self, pool: Pool, wait_queue: WaitQueue, limits: SourceLimits, taker: Taker, queries: Queries) -> None:
        self._pool = pool
        self._wait_queue = wait_queue
        self._limits = limits
        self._taker = taker
        self._queries = queries
        # Bound directly: a method around each would cost every take.
        self.take, self.undo_takes = taker.take, taker.undo
        self.leases = limits.leases
        turns = taker.turns
        self._after_turns = asyncio.Semaphore(_MOST_AFTER_AT_ONCE)
        self.leave_note = Notes(pool, queries, turns).leave
        self._submits = Coalescer(
            self._submit_all,
            most=_MOST_DOCUMENT,
            weigh=lambda job: len(job.document) + 100,
            key=attrgetter("id"),
            turns=turns,
        )
        self._finishes = Coalescer(
            self._finish_all,
            most=_MOST_DOCUMENT,
            weigh=lambda finish: len(finish.result or "") + 100,
            key=attrgetter("id"),
            turns=turns,
        )
        self._give_backs = Coalescer(
            self._give_back_all,
            most=_MOST_DOCUMENT,
            weigh=lambda given: len(given.result or "") + 100,
            key=attrgetter("id"),
            turns=turns,
        )
        self._checks = Coalescer(self._check_all, most=MOST_ROWS, turns=turns)

    async def submit(self, submission: Submission, after: After | None = None) -> None:
        """Store a new job, which may come after others.

        Raises:
            IdTaken: a job with that id exists; nothing was changed.
            BadInput: jsonb cannot keep its document.
            UnknownJobs: one of the others does not exist.
            TooMany: its source has as many available jobs as it may have.
        """
        self.check_room(submission.source)
        is_new = await (self._submits(submission) if after is None else self._store([submission], after))
        if not is_new:
            location = await self._queries.locate(submission.id)
            taken = f"the id is taken: {where(submission.id, location)}"
            raise mismatch(IdTaken, taken, location, f"the id {submission.id} is taken; choose another one")

    async def submit_many(self, submissions: Sequence[Submission], after: After | None = None) -> list[bool]:
        """Store new jobs, which may come after others, in one transaction; return for each whether it is new.

        A job whose id exists already is left out and changes nothing.

        Raises:
            BadInput: jsonb cannot store one of the documents; nothing was stored. The message names its line, counted
                from 1.
            UnknownJobs: one of the others does not exist; nothing was stored.
            TooMany: a source has as many available jobs as it may have; nothing was stored.
        """
        for source in {submission.source for submission in submissions}:
            self.check_room(source)
        try:
            new = await self._store(submissions, after)
        except UnknownJobs:
            raise
        except BadInput as error:
            documents = [submission.document for submission in submissions]
            index = await store.first_refused(self._pool, documents)
            raise BadInput(f"line {index + 1}: {error}") from error
        # Of two with the same id, the first was stored.
        first = {submission.id: index for index, submission in reversed(list(enumerate(submissions)))}
        return [each.id in new and first[each.id] == index for index, each in enumerate(submissions)]

    async def take_by_address(self, source: str, id: str, take: Take) -> Taken:
        """Make this one job active, due or not.

        Raises:
            NotThere: it is not available.
            NoJob: it is available, but it waits for other jobs, or the limit of its source does not let it be taken.
        """
        taken = await self._taker.take_by_address(id, take)
        if taken is None:
            location = await self._queries.locate(id)
            if location and location.is_at(source, State.AVAILABLE):
                record = await self._queries.find(id)
                if record.is_blocked:
                    raise NoJob(f"the job {id} cannot be taken now: {await self._queries.why_available(record)}")
                if self._limits.applies_to(take):
                    raise self._taker.no_room(take, id)
            raise not_taken(source, id, location)
        return taken

    async def finish(self, finish: Finish) -> None:
        """Move an available or active job to done.

        Raises:
            NotThere: it is neither.
            WrongAttempt: it is in another attempt than the one given.
            BadInput: jsonb cannot store its result.
        """
        if not await self._finishes(finish):
            raise not_finished(finish, await self._queries.locate(finish.id))

    async def finish_many(self, finishes: Sequence[Finish]) -> list[BossError | None]:
        """Finish jobs as if one after the other; return for each the error that `finish` would have raised, or None."""
        outcomes: dict[int, BossError | None] = {}
        for indexes in rounds([finish.id for finish in finishes]):
            errors = await self._finish_round([finishes[index] for index in indexes])
            outcomes.update(zip(indexes, errors, strict=True))
        return [outcomes[index] for index in range(len(finishes))]

    async def _finish_round(self, finishes: Sequence[Finish]) -> list[BossError | None]:
        try:
            finished = await self._move_to_done(finishes)
        except BadInput:
            # One result cannot be stored. Finish each job by itself, so that the others are not lost.
            alone = await asyncio.gather(*map(self.finish, finishes), return_exceptions=True)
            return [_own(error) for error in alone]
        missed = [finish.id for finish in finishes if finish.id not in finished]
        locations = await store.locate(self._pool, missed) if missed else {}
        return [None if each.id in finished else not_finished(each, locations.get(each.id)) for each in finishes]

    async def give_back(self, given: GiveBack) -> State:
        """Make an active job available again after a delay; return its new state, which is done after its last attempt.

        Raises:
            NotThere: it is not active.
            WrongAttempt: it is in another attempt than the one given.
            BadInput: jsonb cannot store its result.
        """
        state = await self._give_backs(given)
        if state is None:
            location = await self._queries.locate(given.id)
            raise not_moved(State.ACTIVE, given.source, given.id, given.attempt, location)
        return state

    async def check(self, state: State, source: str, id: str, attempt: int | None = None) -> Location:
        """Like `Queries.read`, without the document. For an active job it is a heartbeat and renews the lease."""
        is_active = state is State.ACTIVE
        location = await (
            self._checks(Check(id=id, source=source, attempt=attempt)) if is_active else self._queries.locate(id)
        )
        return check_location(state, source, id, attempt, location)

    async def change(self, asked: Change) -> Job:
        """Change the document, the priority or the due time of an available job; return the job as it is now.

        Raises:
            NotThere: it is not available.
            WrongAttempt: it is in another attempt than the one given.
            BadInput: jsonb cannot store the document.
        """
        changed = await store.change(self._pool, asked)
        if changed is None:
            location = await self._queries.locate(asked.id)
            error = not_moved(State.AVAILABLE, asked.source, asked.id, asked.attempt, location)
            if location is not None and location.is_at(asked.source, State.AVAILABLE):
                record = await self._queries.find(asked.id)
                if record.is_blocked and (asked.delay is not None or asked.due_at is not None):
                    why = await self._queries.why_available(record)
                    raise BadInput(f"the job {asked.id} has no due time to change: {why}")
                if record.taken_at is not None and asked.expires is not None:
                    raise BadInput(f"the job {asked.id} has been taken before, so it does not expire any more")
            raise error
        return changed

    async def prune(self, older: float, by: str | None) -> tuple[int, bool]:
        """Delete jobs that were done more than `older` seconds ago: first whole volumes, then in small batches.

        Args:
            older: the age in seconds.
            by: the name of the principal's token, for the audit event.

        Returns how many were deleted, and whether there may be more: one call deletes at most 10,000 jobs that are not
        in such volumes, and ends after some seconds.
        """
        more, event = True, None
        but: dict[str, str] = {}
        until = time.monotonic() + _LONGEST_PRUNE_S

        async def empty(volume: int) -> int:
            nonlocal event
            jobs, event = await store.empty_volume_by(self._pool, volume, older, by, event)
            return jobs

        deleted = await empty_old_volumes(self._pool, older, empty)
        metrics.PRUNED.inc(deleted)
        most = deleted + _MOST_PRUNED
        while more and deleted < most and time.monotonic() < until:
            batch, event, refused, more = await store.prune_by(self._pool, older, MOST_ROWS, by, event, [*but])
            metrics.PRUNED.inc(batch)
            deleted += batch
            but |= refused
        if but:
            log.warning("%s done jobs cannot be pruned; the first is %s: %s", len(but), *next(iter(but.items())))
        # A request that deletes nothing is not sent again.
        return deleted, more and deleted > 0

    def rule(self, source: str) -> SourceRule:
        """The rule of a source, whose defaults apply where a request says nothing."""
        return self._limits.of(source)

    async def set_rule(self, new: SourceRule, by: str | None, version: str | None = None) -> None:
        """Set the rule of a source. It applies here at once, and on other replicas within a second.

        Args:
            new: the rule, in place of its earlier one.
            by: the name of the principal's token, for the audit event.
            version: that of the rule which the new one replaces; any when None.

        Raises:
            RuleChanged: the rule has another version.
        """
        if not await store.set_source_rule(self._pool, new, by, version):
            raise RuleChanged(f"the rule of {new.source} was changed meanwhile; read it again, and set it anew")
        await self._limits.load()

    async def delete_source(self, source: str, by: str | None) -> None:
        """Delete the limits and the counts of a source that has no jobs.

        Raises:
            SourceInUse: it has jobs.
        """
        if not await store.delete_source(self._pool, source, by):
            raise SourceInUse(f"the source {source} has jobs; delete them first, or wait until they are deleted")
        await self._limits.load()

    def send_away(self) -> None:
        """End every wait with `Draining`, now and from now on."""
        self._wait_queue.close()

    async def settle(self) -> None:
        """Return once all work in the background is done."""
        await self._taker.settle()

    def check_room(self, source: str) -> None:
        """Raise `TooMany` when the source has as many available jobs as it may have."""
        if self._limits.is_full(source):
            raise TooMany(f"as many jobs of {source} are available as this Boss keeps; submit it again later", 5)

    def _make_room(self, moved: Sequence[Finish | GiveBack]) -> None:
        """Wake takers for the limited sources of these jobs: there is room for other jobs now."""
        limited = Counter(each.source for each in moved if self._limits.is_limited(each.source))
        if limited:
            self._wait_queue.announce(limited)

    async def _submit_all(self, submissions: Sequence[Submission]) -> list[bool]:
        new = await self._store(submissions)
        return [submission.id in new for submission in submissions]

    async def _store(self, submissions: Sequence[Submission], after: After | None = None) -> set[str]:
        _SUBMITS.observe(len(submissions))
        if after is None:
            new = await store.submit(self._pool, submissions)
        else:
            async with self._after_turns:
                new = await submit_after(self._pool, submissions, after)
        self._taker.note_stored(submissions)
        stored = [each for each in submissions if each.id in new]
        job_counts.submitted(each.source for each in stored)
        job_log.record("submitted", (JobEvent(each.id, each.source, by=each.by) for each in stored))
        return new

    async def _finish_all(self, finishes: Sequence[Finish]) -> list[bool]:
        finished = await self._move_to_done(finishes)
        return [finish.id in finished for finish in finishes]

    async def _move_to_done(self, finishes: Sequence[Finish]) -> set[str]:
        _FINISHES.observe(len(finishes))
        finished = await store.finish(self._pool, finishes)
        done = [finish for finish in finishes if finish.id in finished]
        job_counts.finished((finish.source, finish.outcome) for finish in done)
        self._make_room(done)
        job_log.record(
            "finished", (JobEvent(each.id, each.source, each.attempt, each.outcome, each.by) for each in done)
        )
        return finished

    async def _give_back_all(self, given: Sequence[GiveBack]) -> list[State | None]:
        _GIVE_BACKS.observe(len(given))
        delays = self._limits.delays(each.source for each in given)
        states = await store.give_back(self._pool, given, delays)
        back = [each for each in given if each.id in states]
        job_counts.given_back(each.source for each in back)
        self._make_room(back)
        job_counts.finished((each.source, _FAILED) for each in back if states[each.id] is State.DONE)
        job_log.record(
            "given back",
            (
                JobEvent(
                    each.id, each.source, each.attempt, _FAILED if states[each.id] is State.DONE else None, each.by
                )
                for each in back
            ),
        )
        return [states.get(each.id) for each in given]

    async def _check_all(self, checks: Sequence[Check]) -> list[Location | None]:
        _CHECKS.observe(len(checks))
        locations = await store.check(self._pool, checks)
        return [locations.get(check.id) for check in checks]


def _own(error: BaseException | None) -> BossError | None:
    if error is None or isinstance(error, BossError):
        return error
    raise error
