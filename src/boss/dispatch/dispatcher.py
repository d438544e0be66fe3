"""What a submit, a take, a check, a finish and a give-back mean. The hot ones go through coalescers over the store."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter

from boss.coalescer import Coalescer
from boss.dispatch.mismatches import mismatch, not_finished, not_there, where, wrong_attempt
from boss.dispatch.queries import Queries
from boss.dispatch.source_limits import SourceLimits
from boss.dispatch.taker import Taker
from boss.dispatch.wait_queue import WaitQueue
from boss.errors import BadInput, BossError, IdTaken, TooMany
from boss.model.job import (
    Check,
    Finish,
    GiveBack,
    Location,
    Outcome,
    SourceLimit,
    State,
    Submission,
    Take,
    Taken,
)
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.telemetry import job_log, metrics
from boss.telemetry.job_log import JobEvent

# A statement this large is well past the point where a larger one is faster.
_MOST_JOBS = 1000
# What a statement's documents may come to, in characters, so that a batch of large ones stays small in memory.
_MOST_DOCUMENT = 8 * 1024 * 1024
# Reads of documents that a statement serves: each may have a megabyte.
_MOST_READ = 32
# How many jobs one request deletes at most: so it answers in time, and can be sent again.
_MOST_PRUNED = 10_000
# How many are counted before anybody prunes them.
_MOST_PRUNABLE = 100_000
# And for how long it goes on with that, in seconds; the statement that is under way then comes to its end.
_LONGEST_PRUNE = 5.0
_MEASURE_INTERVAL_S = 1.0
# How many jobs before another one are counted.
_MOST_AHEAD = 1000
_SUBMITS, _FINISHES, _GIVE_BACKS, _CHECKS = map(metrics.BATCHES.labels, ("submit", "finish", "give back", "check"))
_FAILED = Outcome.FAILED
_FINISHED = {outcome: metrics.FINISHED.labels(outcome) for outcome in Outcome}


class Dispatcher:
    """Hands out jobs over one pool of connections; any number of them may share a database.

    Every method raises `DatabaseAway` when PostgreSQL does not answer.

    Args:
        pool: the database.
        wait_queue: where takers wait.
        rules: the limits of the sources.
        taker: hands out jobs, over the same pool, queue and limits.
        queries: say where a job is.
    """

    def __init__(self, pool: Pool, wait_queue: WaitQueue, rules: SourceLimits, taker: Taker, queries: Queries) -> None:
        self._pool = pool
        self._wait_queue = wait_queue
        self._rules = rules
        self._taker = taker
        self._queries = queries
        # Not by methods of ours: every take would pass them.
        self.take, self.undo_takes = taker.take, taker.undo
        turns = taker.turns
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
        self._checks = Coalescer(self._check_all, most=_MOST_JOBS, turns=turns)

    async def submit(self, submission: Submission) -> None:
        """Store a new job.

        Raises:
            IdTaken: a job with that id exists; nothing was changed.
            BadInput: jsonb cannot keep its document.
            TooMany: as many jobs of its source are available as may be.
        """
        self._check_room(submission.source)
        if not await self._submits(submission):
            location = await self._queries.locate(submission.id)
            taken = f"the id is taken: {where(submission.id, location)}"
            raise mismatch(IdTaken, taken, location, f"the id {submission.id} is taken; choose another one")

    async def submit_many(self, submissions: Sequence[Submission]) -> list[bool]:
        """Store new jobs in one transaction; return for each whether it is new.

        One that is not, for a job has its id already, is left out and changes nothing.

        Raises:
            BadInput: jsonb cannot keep a document, and nothing was stored; the sentence says which, counted from 1 as
                lines are.
            TooMany: as many jobs of a source are available as may be, and nothing was stored.
        """
        for source in {submission.source for submission in submissions}:
            self._check_room(source)
        try:
            new = await self._store(submissions)
        except BadInput as error:
            documents = [submission.document for submission in submissions]
            place = await store.first_refused(self._pool, documents)
            raise BadInput(f"line {place + 1}: {error}") from error
        # Of two with the same id the first was stored.
        first = {submission.id: place for place, submission in reversed(list(enumerate(submissions)))}
        return [each.id in new and first[each.id] == place for place, each in enumerate(submissions)]

    async def take_by_address(self, source: str, id: str, take: Take) -> Taken:
        """Make this one job active, due or not.

        Raises:
            NotThere: it is not available.
            NoJob: it is, but the rule of its source does not let it be taken now.
        """
        taken = await self._taker.by_address(id, take)
        if taken is None:
            location = await self._queries.locate(id)
            if location and location.is_at(source, State.AVAILABLE) and self._rules.applies_to(take):
                raise self._taker.no_job(take)
            raise not_there(State.AVAILABLE, source, id, location)
        return taken

    async def finish(self, finish: Finish) -> None:
        """Move an available or active job to done.

        Raises:
            NotThere: it is neither.
            WrongAttempt: it is in another attempt than the one given.
            BadInput: jsonb cannot keep its result.
        """
        if not await self._finishes(finish):
            raise not_finished(finish, await self._queries.locate(finish.id))

    async def finish_many(self, finishes: Sequence[Finish]) -> list[BossError | None]:
        """Finish one after the other; return for each what `finish` would have raised."""
        outcomes: dict[int, BossError | None] = {}
        for places in _rounds([finish.id for finish in finishes]):
            errors = await self._finish_round([finishes[place] for place in places])
            outcomes.update(zip(places, errors, strict=True))
        return [outcomes[place] for place in range(len(finishes))]

    async def _finish_round(self, finishes: Sequence[Finish]) -> list[BossError | None]:
        try:
            finished = await self._move_to_done(finishes)
        except BadInput:
            # One of them cannot be kept. Each for itself, then, for the others' sake.
            alone = await asyncio.gather(*map(self.finish, finishes), return_exceptions=True)
            return [_own(error) for error in alone]
        missed = [finish.id for finish in finishes if finish.id not in finished]
        places = await store.locate(self._pool, missed) if missed else {}
        return [None if finish.id in finished else not_finished(finish, places.get(finish.id)) for finish in finishes]

    async def give_back(self, given: GiveBack) -> State:
        """Make an active job available again after a rest; return its state: done after its last attempt.

        Raises:
            NotThere: it is not active.
            WrongAttempt: it is in another attempt than the one given.
            BadInput: jsonb cannot keep its result.
        """
        state = await self._give_backs(given)
        if state is None:
            location = await self._queries.locate(given.id)
            is_there = location and location.is_at(given.source, State.ACTIVE)
            if location and is_there and given.attempt not in (None, location.attempt):
                raise wrong_attempt(given.id, given.attempt, location.state, location.attempt)
            raise not_there(State.ACTIVE, given.source, given.id, location)
        return state

    async def check(self, state: State, source: str, id: str, attempt: int | None = None) -> Location:
        """As `Queries.read`, without the document; it renews the lease of an active job."""
        is_active = state is State.ACTIVE
        location = await (self._checks(Check(id, source, attempt)) if is_active else self._queries.locate(id))
        if location is None or location.state != state or location.source != source:
            raise not_there(state, source, id, location)
        if attempt not in (None, location.attempt):
            raise wrong_attempt(id, attempt, location.state, location.attempt)
        return location

    async def prune(self, older: float, by: str | None) -> tuple[int, bool]:
        """Delete jobs that were done more than `older` seconds ago, oldest first and in small batches.

        Args:
            older: that many seconds.
            by: the name of the token of who does it.

        Returns how many, and whether there may be more: one call deletes 10,000 at most, and ends after some seconds.
        """
        deleted, more, act = 0, True, None
        until = time.monotonic() + _LONGEST_PRUNE
        while more and deleted < _MOST_PRUNED and time.monotonic() < until:
            batch, act = await store.prune_by(self._pool, older, _MOST_JOBS, by, act)
            metrics.PRUNED.inc(batch)
            deleted += batch
            more = batch == _MOST_JOBS
        return deleted, more

    async def set_limit(self, source: str, paused: bool, limit: int | None, by: str | None) -> SourceLimit:
        """Hold a source to a rule: here at once, on other replicas within a second.

        Args:
            source: which.
            paused: whether none of its jobs is handed out.
            limit: how many of its jobs may be active at once; None for any number.
            by: the name of the token of who does it.
        """
        rule = SourceLimit(source, paused, limit)
        await store.set_rule(self._pool, rule, by)
        await self._rules.load()
        return rule

    def send_away(self) -> None:
        """End every wait with `Draining`, now and from now on."""
        self._wait_queue.close()

    async def settle(self) -> None:
        """Return once everything that goes on in the background is done."""
        await self._taker.settle()

    def _check_room(self, source: str) -> None:
        if self._rules.is_full(source):
            raise TooMany(f"as many jobs of {source} are available as this Boss keeps; submit it again later", 5)

    def _make_room(self, moved: Sequence[Finish | GiveBack]) -> None:
        """Wake who waits for a source that may have so many active jobs: there is room for others now."""
        limited = Counter(each.source for each in moved if self._rules.is_limited(each.source))
        if limited:
            self._wait_queue.announce(limited)

    async def _submit_all(self, submissions: Sequence[Submission]) -> list[bool]:
        new = await self._store(submissions)
        return [submission.id in new for submission in submissions]

    async def _store(self, submissions: Sequence[Submission]) -> set[str]:
        _SUBMITS.observe(len(submissions))
        new = await store.submit(self._pool, submissions)
        metrics.SUBMITTED.inc(len(new))
        job_log.record(
            "submitted", (JobEvent(each.id, each.source, by=each.by) for each in submissions if each.id in new)
        )
        return new

    async def _finish_all(self, finishes: Sequence[Finish]) -> list[bool]:
        finished = await self._move_to_done(finishes)
        return [finish.id in finished for finish in finishes]

    async def _move_to_done(self, finishes: Sequence[Finish]) -> set[str]:
        _FINISHES.observe(len(finishes))
        finished = await store.finish(self._pool, finishes)
        done = [finish for finish in finishes if finish.id in finished]
        for outcome, jobs in Counter(finish.outcome for finish in done).items():
            _FINISHED[outcome].inc(jobs)
        self._make_room(done)
        job_log.record(
            "finished", (JobEvent(each.id, each.source, each.attempt, each.outcome, each.by) for each in done)
        )
        return finished

    async def _give_back_all(self, given: Sequence[GiveBack]) -> list[State | None]:
        _GIVE_BACKS.observe(len(given))
        states = await store.give_back(self._pool, given)
        back = [each for each in given if each.id in states]
        metrics.GIVEN_BACK.inc(len(back))
        self._make_room(back)
        _FINISHED[Outcome.FAILED].inc(sum(state is State.DONE for state in states.values()))
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
        places = await store.check(self._pool, checks)
        return [places.get(check.id) for check in checks]


def _rounds(ids: Sequence[str]) -> Iterator[list[int]]:
    """The places of these ids, such that no id is twice in a round, and its second place comes in a later one."""
    left = list(range(len(ids)))
    while left:
        first: dict[str, int] = {}
        for place in left:
            first.setdefault(ids[place], place)
        now = set(first.values())
        yield sorted(now)
        left = [place for place in left if place not in now]


def _own(error: BaseException | None) -> BossError | None:
    if error is None or isinstance(error, BossError):
        return error
    raise error
