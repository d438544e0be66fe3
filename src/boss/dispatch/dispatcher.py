"""What a submit, a take, a check, a finish and a give-back mean. The hot ones go through coalescers over the store."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import NoReturn, TypeVar

from boss.coalescer import Coalescer
from boss.dispatch.source_limits import SourceLimits
from boss.dispatch.taker import Taker
from boss.dispatch.wait_queue import WaitQueue
from boss.errors import BadInput, BossError, IdTaken, NotThere, StateMismatch, TooMany, WrongAttempt
from boss.model.diagnosis import Ages, Finding, examine
from boss.model.job import (
    Check,
    Finish,
    GiveBack,
    Job,
    JobRecord,
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
from boss.postgres.store import AuditEvent, JobPage
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
    """

    def __init__(self, pool: Pool, wait_queue: WaitQueue, rules: SourceLimits, taker: Taker) -> None:
        self._pool = pool
        self._wait_queue = wait_queue
        self._rules = rules
        self._taker = taker
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
        self._reads = Coalescer(self._read_all, most=_MOST_READ)
        self._locates = Coalescer(self._locate_all, most=_MOST_JOBS)
        self._reaches = Coalescer(self._reach, most=_MOST_JOBS)

    async def submit(self, submission: Submission) -> None:
        """Store a new job.

        Raises:
            IdTaken: a job with that id exists; nothing was changed.
            BadInput: jsonb cannot keep its document.
            TooMany: as many jobs of its source are available as may be.
        """
        self._check_room(submission.source)
        if not await self._submits(submission):
            location = await self._locates(submission.id)
            taken = f"the id is taken: {_where(submission.id, location)}"
            raise _mismatch(IdTaken, taken, location, f"the id {submission.id} is taken; choose another one")

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
            location = await self._locates(id)
            if location and location.is_at(source, State.AVAILABLE) and self._rules.applies_to(take):
                raise self._taker.no_job(take)
            raise _not_there(State.AVAILABLE, source, id, location)
        return taken

    async def any_available(self, take: Take) -> bool:
        """Whether this take would find a job now."""
        if self._rules.applies_to(take) or take.sources is not None:
            return await store.any_allowed(self._pool, take.of())
        return await store.any_ready(self._pool, take.source)

    async def finish(self, finish: Finish) -> None:
        """JobEvent an available or active job to done.

        Raises:
            NotThere: it is neither.
            WrongAttempt: it is in another attempt than the one given.
            BadInput: jsonb cannot keep its result.
        """
        if not await self._finishes(finish):
            raise _not_finished(finish, await self._locates(finish.id))

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
        return [None if finish.id in finished else _not_finished(finish, places.get(finish.id)) for finish in finishes]

    async def give_back(self, given: GiveBack) -> State:
        """Make an active job available again after a rest; return its state: done after its last attempt.

        Raises:
            NotThere: it is not active.
            WrongAttempt: it is in another attempt than the one given.
            BadInput: jsonb cannot keep its result.
        """
        state = await self._give_backs(given)
        if state is None:
            location = await self._locates(given.id)
            is_there = location and location.is_at(given.source, State.ACTIVE)
            if location and is_there and given.attempt not in (None, location.attempt):
                raise _wrong_attempt(given.id, given.attempt, location.state, location.attempt)
            raise _not_there(State.ACTIVE, given.source, given.id, location)
        return state

    async def read(self, state: State, source: str, id: str, attempt: int | None = None) -> Job:
        """The job at this address; renews nothing.

        Raises:
            NotThere: it is not there.
            WrongAttempt: it is in another attempt than the one given.
        """
        job = await self._reads(id)
        if job is None or job.state != state or job.source != source:
            raise _not_there(state, source, id, job and Location(job.source, job.state, job.attempt, 0))
        if attempt not in (None, job.attempt):
            raise _wrong_attempt(id, attempt, job.state, job.attempt)
        return job

    async def check(self, state: State, source: str, id: str, attempt: int | None = None) -> Location:
        """As `read`, without the document; an active job's lease is renewed by it."""
        location = await (self._checks(Check(id, source, attempt)) if state is State.ACTIVE else self._locates(id))
        if location is None or location.state != state or location.source != source:
            raise _not_there(state, source, id, location)
        if attempt not in (None, location.attempt):
            raise _wrong_attempt(id, attempt, location.state, location.attempt)
        return location

    async def count(self) -> dict[tuple[str, State], int]:
        """How many jobs there are of each source and state, of every source ever seen."""
        return await store.count(self._pool)

    async def newest(self, each: int) -> dict[tuple[str, State], list[str]]:
        """The greatest `each` ids of every source and state that has jobs, greatest first."""
        return await store.newest(self._pool, each)

    async def list_jobs(
        self, state: State | None, sources: Sequence[str] | None, after: str | None, limit: int
    ) -> JobPage:
        """Jobs with all their properties; see `store.list_jobs`."""
        return await store.list_jobs(self._pool, state, sources, after, limit)

    async def find(self, id: str) -> JobRecord:
        """The job with this id, wherever it is, with all its properties.

        Raises:
            NotThere: there is none.
        """
        record = await store.find(self._pool, id)
        if record is None:
            raise NotThere(_where(id, None), None)
        return record

    async def why_available(self, record: JobRecord) -> str:
        """Why nobody has this available job yet, as a sentence."""
        if record.due_at is not None:
            return "it is delayed until then"
        rule = self._rules.rule(record.source)
        if rule.paused:
            return f"{record.source} is paused"
        ahead, active = await store.place_in_queue(self._pool, record.id, _MOST_AHEAD + 1)
        if rule.limit is not None and active >= rule.limit:
            return f"{_many(active)} jobs of {record.source} are active, and no more than {rule.limit} may be"
        if active == 0 and not self._wait_queue.waiting:
            asks = f"nobody asks for jobs of {record.source}: none is active, and no taker waits here"
            return asks if not ahead else f"{asks}; {_many(ahead)} of its jobs come before this one"
        if ahead:
            return f"{_many(ahead)} jobs of {record.source} come before this one, by priority or by age"
        return f"it is the next of {record.source}; all its converters are at work, or about to take it"

    async def examine(self) -> list[Finding]:
        """How well the database does its work, what to think of it and what to do."""
        facts = await store.examine(self._pool)
        return examine(facts, self._wait_queue.waiting)

    async def ages(self) -> list[Ages]:
        """How long the first ready job and the oldest active one of each source have been there."""
        return await store.ages(self._pool)

    def measure(self) -> None:
        """Set the metrics of what there is now: takers that wait, and connections to the database."""
        busy, idle = self._pool.use()
        metrics.WAITING.set(self._wait_queue.waiting)
        metrics.CONNECTIONS.labels("busy").set(busy)
        metrics.CONNECTIONS.labels("idle").set(idle)

    async def measure_forever(self) -> NoReturn:
        """Set them once a second, for the other workers to tell."""
        while True:
            self.measure()
            metrics.measure_worker()
            await asyncio.sleep(_MEASURE_INTERVAL_S)

    async def reach_database(self) -> None:
        """Return when PostgreSQL answers. However many ask, and stop asking, one statement is under way."""
        await self._reaches(None)

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

    async def prunable(self, older: float) -> tuple[int, bool]:
        """How many jobs `prune` would delete, 100,000 at most, and whether there are more."""
        jobs = await store.prunable(self._pool, older, _MOST_PRUNABLE + 1)
        return min(jobs, _MOST_PRUNABLE), jobs > _MOST_PRUNABLE

    async def sources(self) -> list[tuple[SourceLimit, dict[State, int]]]:
        """Every source that has a rule or was ever seen, with its rule and how many jobs it has, by name."""
        rules, counts = await store.rules(self._pool), await self.count()
        names = sorted(rules.keys() | {source for source, _ in counts})
        return [
            (rules.get(name, SourceLimit(name)), {state: counts.get((name, state), 0) for state in State})
            for name in names
        ]

    async def set_rule(self, source: str, paused: bool, limit: int | None, by: str | None) -> SourceLimit:
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

    async def acts(self, before: int | None, limit: int) -> list[AuditEvent]:
        """What administrators did that is not kept with a job; see `store.acts`."""
        return await store.acts(self._pool, before, limit)

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

    async def _read_all(self, ids: Sequence[str]) -> list[Job | None]:
        jobs = await store.read(self._pool, ids)
        return [jobs.get(id) for id in ids]

    async def _reach(self, asked: Sequence[None]) -> Sequence[None]:
        await store.reach(self._pool)
        return asked

    async def _locate_all(self, ids: Sequence[str]) -> list[Location | None]:
        places = await store.locate(self._pool, ids)
        return [places.get(id) for id in ids]


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


def _many(jobs: int) -> str:
    return f"more than {_MOST_AHEAD:,}" if jobs > _MOST_AHEAD else f"{jobs:,}"


def _where(id: str, location: Location | None) -> str:
    return f"it is at /job/{location.state}/{location.source}/{id}" if location else f"no job has the id {id}"


_Mismatch = TypeVar("_Mismatch", bound=StateMismatch)


def _mismatch(kind: type[_Mismatch], sentence: str, location: Location | None, unseen: str) -> _Mismatch:
    """An error about a job that is somewhere else."""
    return kind(sentence, location and location.state, location and location.source, unseen)


def _not_there(state: State, source: str, id: str, location: Location | None) -> NotThere:
    missed = f"no job at /job/{state}/{source}/{id}"
    return _mismatch(NotThere, f"{missed}: {_where(id, location)}", location, f"{missed}: {_where(id, None)}")


def _wrong_attempt(id: str, asked: int | None, state: State, attempt: int) -> WrongAttempt:
    about = "another attempt" if asked is None or asked < 0 else f"attempt {asked}"
    return WrongAttempt(f"the request is about {about} of {id}, which is {state} in attempt {attempt}", state)


def _not_finished(finish: Finish, location: Location | None) -> BossError:
    """Why a finish did nothing, going by where the job is now."""
    there = location is not None and location.source == finish.source and location.state is not State.DONE
    if there and location and finish.attempt not in (None, location.attempt):
        return _wrong_attempt(finish.id, finish.attempt, location.state, location.attempt)
    missed, id = "only an available or active job can be done", finish.id
    return _mismatch(NotThere, f"{missed}: {_where(id, location)}", location, f"{missed}: {_where(id, None)}")
