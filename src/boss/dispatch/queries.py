"""Everything that only reads: jobs, lists, counts, and the diagnosis."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import NoReturn

from boss.coalescer import Coalescer
from boss.dispatch import finding
from boss.dispatch.finding import FoundPage
from boss.dispatch.mismatches import check_location, where
from boss.dispatch.overview import MOST_FAILED, Overview, Paced
from boss.dispatch.source_limits import SourceLimits
from boss.dispatch.wait_queue import WaitQueue
from boss.errors import NotThere
from boss.model.audit import AuditEvent
from boss.model.converter import KnownConverter
from boss.model.dashboard import View
from boss.model.diagnosis import Ages, Finding, examine
from boss.model.duration import duration
from boss.model.finding import JobFilter, Place
from boss.model.history import Series, Span, series
from boss.model.job import Job, JobPage, JobRecord, Location, State, Take, jobs_in_words
from boss.model.overview import SourceView
from boss.model.permissions import Token
from boss.model.schedule import Schedule
from boss.model.source_rule import SourceRule
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.postgres.statement import MOST_ROWS
from boss.telemetry import metrics

# The most documents that one statement reads: each may have a megabyte.
_MOST_READ = 32
# The limit up to which prunable jobs are counted.
_MOST_PRUNABLE = 100_000
# The limit up to which the jobs before another one are counted.
_MOST_AHEAD = 1000
# The most jobs that a reason names.
_MOST_NAMED = 5
# How often the doctor is asked for a view of the dashboard, in seconds.
_DIAGNOSE_INTERVAL_S = 10.0
_MEASURE_INTERVAL_S = 1.0


class Queries:
    """Reads for any number of requests over one connection pool; frequent reads share a statement.

    Every method raises `DatabaseAway` when PostgreSQL does not answer.

    Args:
        pool: the connection pool.
        wait_queue: the takers that wait on this replica.
        limits: the source limits.
    """

    def __init__(self, pool: Pool, wait_queue: WaitQueue, limits: SourceLimits) -> None:
        self._pool = pool
        self._wait_queue = wait_queue
        self._limits = limits
        self._overview = Overview(pool, limits)
        self._findings = Paced(self.diagnose, _DIAGNOSE_INTERVAL_S)
        self._reads = Coalescer(self._read_all, most=_MOST_READ)
        self._locates = Coalescer(self._locate_all, most=MOST_ROWS)
        self._reaches = Coalescer(self._reach, most=MOST_ROWS)

    async def locate(self, id: str) -> Location | None:
        """Where the job with this id is; None when there is none."""
        return await self._locates(id)

    async def read(self, state: State, source: str, id: str, attempt: int | None = None) -> Job:
        """The job at this address. It renews no lease.

        Raises:
            NotThere: it is not there.
            WrongAttempt: it is in another attempt than the one given.
        """
        job = await self._reads(id)
        location = job and Location(source=job.source, state=job.state, attempt=job.attempt, lease=0)
        check_location(state, source, id, attempt, location)
        assert job
        return job

    async def any_available(self, take: Take) -> bool:
        """Whether this take would find a job now."""
        if self._limits.applies_to(take) or take.sources is not None:
            return await store.any_allowed(self._pool, take.of())
        return await store.any_ready(self._pool, take.source)

    async def find(self, id: str) -> JobRecord:
        """The job with this id, wherever it is, with all its properties.

        Raises:
            NotThere: there is none.
        """
        record = await store.find(self._pool, id)
        if record is None:
            raise NotThere(where(id, None), None)
        return record

    async def why_available(self, record: JobRecord) -> str:
        """The reason why this available job has not been taken yet, as a sentence."""
        if record.is_blocked:
            unmet = await store.unmet(self._pool, record.id, _MOST_NAMED + 1)
            more = " and others" if len(unmet) > _MOST_NAMED else ""
            return f"it waits for {', '.join(unmet[:_MOST_NAMED])}{more}"
        if record.due_at is not None:
            return f"it is delayed until {record.due_at:%Y-%m-%dT%H:%M:%SZ}"
        limit = self._limits.of(record.source)
        if limit.paused:
            return f"{record.source} is paused"
        ahead, active = await store.place_in_queue(self._pool, record.id, _MOST_AHEAD + 1)
        if limit.most_active is not None and active >= limit.most_active:
            return f"{record.source} has {_jobs(active)} active, and may have {limit.most_active}"
        if limit.rate is not None and any(each.seconds for each in await store.rate_waits(self._pool, [record.source])):
            return limit.rate_in_words
        if active == 0 and (silence := await self._silence(record.source)) is not None:
            asks = f"nobody asks for jobs of {record.source}: none is active, and no converter has asked{silence}"
            return asks if not ahead else f"{asks}; it waits behind {_jobs(ahead)}"
        if ahead:
            return f"it waits behind {_jobs(ahead)} of {record.source}, by priority or by age"
        why = f"its converters are at work on {_jobs(active)}" if active else "a converter has just asked for one"
        return f"it is the next of {record.source}; {why}"

    async def _silence(self, source: str) -> str | None:
        """For how long no converter has asked for jobs of this source, for a sentence; None when one does."""
        if self._wait_queue.is_there_for(source):
            return None
        asked = await store.asked(self._pool)
        last = asked.last(source)
        if asked.is_lately(last):
            return None
        return f" for {duration((asked.now - last).total_seconds())}" if last else ""

    async def list_jobs(
        self, state: State | None, sources: Sequence[str] | None, after: str | None, limit: int
    ) -> JobPage:
        """Jobs with all their properties; see `store.list_jobs`."""
        return await store.list_jobs(self._pool, state, sources, after, limit)

    async def find_page(self, wanted: JobFilter, after: Place | None, limit: int) -> FoundPage:
        """A page of the jobs that match a filter, the newest first; see `finding.find_page`."""
        return await finding.find_page(self._pool, wanted, after, limit)

    async def greatest_ids(self, each: int) -> dict[tuple[str, State], list[str]]:
        """The greatest `each` ids of every source and state that has jobs, greatest first."""
        return await store.greatest_ids(self._pool, each)

    async def count(self) -> dict[tuple[str, State], int]:
        """How many jobs there are of each source and state, of every source ever seen."""
        return await store.count(self._pool)

    async def view(self) -> View:
        """What the dashboard shows at this moment."""
        counts = await self.count()
        return View(
            counts=counts,
            failed=await store.failed(self._pool, MOST_FAILED),
            sources=await self._overview.sources(counts),
            minute=(await self._overview.lately()).minute,
            converters=await self._overview.converters(),
            findings=await self._findings(),
        )

    async def sources_now(self, counts: dict[tuple[str, State], int]) -> dict[str, SourceView]:
        """How each source stands. What took long to read may be older than the counts; see `Paced`."""
        return await self._overview.sources(counts)

    async def history(self, sources: Collection[str] | None, span: Span) -> Series:
        """What these sources did together in the last hour or day; all of them when None."""
        named = [""] if sources is None else sorted(sources)
        kept = await store.history(self._pool, named, span.seconds, span.length)
        return series(kept.parts, {source: kept.waiting.get(source, 0) for source in named}, span, kept.now)

    async def sources(self) -> list[tuple[SourceRule, dict[State, int]]]:
        """Every source that has a limit or ever had a job, with its limit and its job counts, sorted by name."""
        rules, counts = await store.source_rules(self._pool), await self.count()
        names = sorted(rules.keys() | {source for source, _ in counts})
        return [_source(name, rules, counts) for name in names]

    async def source(self, name: str) -> tuple[SourceRule, dict[State, int]]:
        """This source with its rule and its job counts, also when it never had either."""
        return _source(name, await store.source_rules(self._pool), await self.count())

    async def prunable(self, older: float) -> tuple[int, bool]:
        """How many jobs `prune` would delete, 100,000 at most, and whether there are more."""
        jobs = await store.prunable(self._pool, older, _MOST_PRUNABLE + 1)
        return min(jobs, _MOST_PRUNABLE), jobs > _MOST_PRUNABLE

    async def audit_events(self, before: int | None, limit: int) -> list[AuditEvent]:
        """The audit events of administrators; see `store.audit_events`."""
        return await store.audit_events(self._pool, before, limit)

    async def converters(self, sources: Collection[str] | None) -> list[KnownConverter]:
        """The converters that were heard of in the last hour or hold jobs, of these sources; of all when None."""
        return await store.converters(self._pool, None if sources is None else sorted(sources))

    async def schedules(self) -> list[Schedule]:
        """Every schedule, by name."""
        return await store.schedules(self._pool)

    async def schedule(self, name: str) -> Schedule:
        """The schedule of this name.

        Raises:
            NoSchedule: there is none.
        """
        return await store.schedule(self._pool, name)

    async def list_tokens(self) -> list[Token]:
        """Every token there is or was, by name."""
        return await store.list_tokens(self._pool)

    async def diagnose(self) -> list[Finding]:
        """The findings about Boss and its database, with what to do about them."""
        facts = await store.examine(self._pool)
        return examine(facts, self._wait_queue.waiting, await self._overview.attention())

    async def ages(self) -> list[Ages]:
        """The ages of the first ready job and of the oldest active job of each source."""
        return await store.ages(self._pool)

    async def reach_database(self) -> None:
        """Return when PostgreSQL answers. However many requests ask or give up, one statement is under way."""
        await self._reaches(None)

    def measure(self) -> None:
        """Set the gauges: waiting takers, and connections to the database."""
        busy, idle = self._pool.use()
        metrics.WAITING.set(self._wait_queue.waiting)
        metrics.CONNECTIONS.labels("busy").set(busy)
        metrics.CONNECTIONS.labels("idle").set(idle)

    async def measure_forever(self) -> NoReturn:
        """Set the gauges once a second, so that other workers can report them too."""
        while True:
            self.measure()
            metrics.measure_worker()
            await asyncio.sleep(_MEASURE_INTERVAL_S)

    async def _read_all(self, ids: Sequence[str]) -> list[Job | None]:
        jobs = await store.read(self._pool, ids)
        return [jobs.get(id) for id in ids]

    async def _locate_all(self, ids: Sequence[str]) -> list[Location | None]:
        locations = await store.locate(self._pool, ids)
        return [locations.get(id) for id in ids]

    async def _reach(self, asked: Sequence[None]) -> Sequence[None]:
        await store.reach(self._pool)
        return asked


def _jobs(count: int) -> str:
    return f"more than {_MOST_AHEAD:,} jobs" if count > _MOST_AHEAD else jobs_in_words(count)


def _source(
    name: str, rules: Mapping[str, SourceRule], counts: Mapping[tuple[str, State], int]
) -> tuple[SourceRule, dict[State, int]]:
    return rules.get(name, SourceRule(name)), {state: counts.get((name, state), 0) for state in State}
