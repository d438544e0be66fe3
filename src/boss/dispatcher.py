"""What a submit, a take, a read and a finish mean. Each hot one goes through a coalescer over the store."""

from collections.abc import Iterator, Sequence
from itertools import islice

from boss import store
from boss.coalescer import Coalescer
from boss.database import Pool
from boss.errors import IdTaken, NoJob, NotThere
from boss.job import Finish, Job, Place, State, Submission
from boss.store import JobPage

# A statement this large is well past the point where a larger one is faster.
_MOST_JOBS = 1000
# What a statement's documents may come to, in characters, so that a batch of large ones stays small in memory.
_MOST_DOCUMENT = 8 * 1024 * 1024


class Dispatcher:
    """Hands out jobs over one pool of connections; any number of them may share a database.

    Every method raises `DatabaseAway` when PostgreSQL does not answer.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._submits = Coalescer(
            self._submit_all,
            most=_MOST_DOCUMENT,
            weigh=lambda job: len(job.document) + 100,
            key=lambda job: job.id,
        )
        self._takes = Coalescer(self._take_all, most=_MOST_JOBS, weigh=lambda jobs: jobs)
        self._takes_of_source = Coalescer(self._take_all_of_sources, most=_MOST_JOBS, weigh=lambda asked: asked[1])
        self._takes_by_address = Coalescer(self._take_all_by_address, most=_MOST_JOBS, key=lambda address: address[0])
        self._finishes = Coalescer(
            self._finish_all,
            most=_MOST_DOCUMENT,
            weigh=lambda finish: len(finish.result or "") + 100,
            key=lambda finish: finish.id,
        )
        self._reads = Coalescer(self._read_all, most=_MOST_JOBS)
        self._locates = Coalescer(self._locate_all, most=_MOST_JOBS)

    async def submit(self, submission: Submission) -> None:
        """Store a new job.

        Raises:
            IdTaken: a job with that id exists; nothing was changed.
            BadInput: jsonb cannot keep its document.
        """
        if not await self._submits(submission):
            place = await self._locates(submission.id)
            raise IdTaken(f"the id is taken: {_where(submission.id, place)}", _state(place))

    async def take(self, source: str | None, limit: int = 1) -> list[Job]:
        """Make the oldest available jobs of a source, of any when None, active: at least one, at most `limit`.

        Raises:
            NoJob: there is none.
        """
        taken = await (self._takes(limit) if source is None else self._takes_of_source((source, limit)))
        if not taken:
            raise NoJob("no job is available" + (f" from {source}" if source else ""))
        return taken

    async def take_by_address(self, source: str, id: str) -> Job:
        """Make this one job active, due or not.

        Raises:
            NotThere: it is not available.
        """
        taken = await self._takes_by_address((id, source))
        if taken is None:
            raise _not_there(State.AVAILABLE, source, id, await self._locates(id))
        return taken

    async def any_available(self, source: str | None) -> bool:
        """Whether a take would find a job now."""
        return await store.any_ready(self._pool, source)

    async def finish(self, finish: Finish) -> None:
        """Move an available or active job to done.

        Raises:
            NotThere: it is neither.
            BadInput: jsonb cannot keep its result.
        """
        if not await self._finishes(finish):
            place = await self._locates(finish.id)
            raise NotThere(f"only an available or active job can be done: {_where(finish.id, place)}", _state(place))

    async def read(self, state: State, source: str, id: str) -> Job:
        """The job at this address.

        Raises:
            NotThere: it is not there.
        """
        job = await self._reads(id)
        if job is None or job.state != state or job.source != source:
            raise _not_there(state, source, id, job and Place(job.source, job.state, job.attempt))
        return job

    async def check(self, state: State, source: str, id: str) -> Place:
        """As `read`, without the document."""
        place = await self._locates(id)
        if place is None or place.state != state or place.source != source:
            raise _not_there(state, source, id, place)
        return place

    async def count(self) -> dict[tuple[str, State], int]:
        """How many jobs there are of each source and state, of every source ever seen."""
        return await store.count(self._pool)

    async def newest(self, each: int) -> dict[tuple[str, State], list[str]]:
        """The greatest `each` ids of every source and state that has jobs, greatest first."""
        return await store.newest(self._pool, each)

    async def list_jobs(self, state: State | None, source: str | None, after: str | None, limit: int) -> JobPage:
        """Jobs with all their properties; see `store.list_jobs`."""
        return await store.list_jobs(self._pool, state, source, after, limit)

    async def _submit_all(self, submissions: Sequence[Submission]) -> list[bool]:
        new = await store.submit(self._pool, submissions)
        return [submission.id in new for submission in submissions]

    async def _take_all(self, limits: Sequence[int]) -> list[list[Job]]:
        taken = iter(await store.take(self._pool, sum(limits)))
        return [_next(taken, limit) for limit in limits]

    async def _take_all_of_sources(self, asked: Sequence[tuple[str, int]]) -> list[list[Job]]:
        wanted: dict[str, int] = {}
        for source, limit in asked:
            wanted[source] = wanted.get(source, 0) + limit
        taken = {source: iter(jobs) for source, jobs in (await store.take_of_sources(self._pool, wanted)).items()}
        return [_next(taken[source], limit) for source, limit in asked]

    async def _take_all_by_address(self, addresses: Sequence[tuple[str, str]]) -> list[Job | None]:
        taken = await store.take_by_address(self._pool, addresses)
        return [taken.get(id) for id, _ in addresses]

    async def _finish_all(self, finishes: Sequence[Finish]) -> list[bool]:
        finished = await store.finish(self._pool, finishes)
        return [finish.id in finished for finish in finishes]

    async def _read_all(self, ids: Sequence[str]) -> list[Job | None]:
        jobs = await store.read(self._pool, ids)
        return [jobs.get(id) for id in ids]

    async def _locate_all(self, ids: Sequence[str]) -> list[Place | None]:
        places = await store.locate(self._pool, ids)
        return [places.get(id) for id in ids]


def _next(jobs: Iterator[Job], limit: int) -> list[Job]:
    return list(islice(jobs, limit))


def _state(place: Place | None) -> State | None:
    return place.state if place else None


def _address(id: str, place: Place) -> str:
    return f"/job/{place.state}/{place.source}/{id}"


def _where(id: str, place: Place | None) -> str:
    return f"it is at {_address(id, place)}" if place else f"no job has the id {id}"


def _not_there(state: State, source: str, id: str, place: Place | None) -> NotThere:
    return NotThere(f"no job at /job/{state}/{source}/{id}: {_where(id, place)}", _state(place))
