"""The resource tree, `/job/{state}/{source}/{id}`: thin handlers over the dispatcher."""

from collections.abc import Iterator, Sequence

import orjson
from starlette.routing import Route

from boss import job
from boss.dispatcher import Dispatcher
from boss.document import check_object
from boss.errors import BadInput
from boss.http import parameters
from boss.http.exchange import JSON, Ask, Resource
from boss.http.problems import Answer, Header
from boss.http.tree import DRAWN_IDS, draw, tree
from boss.job import Finish, Job, JobRecord, State, Submission

_NO_STORE = (b"cache-control", b"no-store")
_ACTIVE = (b"boss-state", b"active")
# A take never ends by itself yet, which is what a lease of 0 means.
_LEASE = (b"boss-lease", b"0")
_PAGE = 100


def routes(dispatcher: Dispatcher, max_document: int) -> list[Route]:
    """The table of everything under /job, and /jobs."""
    jobs = Jobs(dispatcher, max_document)
    return [
        Route("/job/available", Resource({"GET": jobs.take, "HEAD": jobs.look})),
        Route("/job/available/{source}", Resource({"GET": jobs.take, "HEAD": jobs.look, "POST": jobs.submit})),
        Route("/job/done/{source}/{id}", Resource({"GET": jobs.read, "HEAD": jobs.check, "POST": jobs.finish})),
        Route(
            "/job/active/{source}/{id}",
            Resource({"GET": jobs.read, "HEAD": jobs.check, "POST": jobs.take_one}),
        ),
        Route(
            "/job/available/{source}/{id}",
            Resource({"GET": jobs.read, "HEAD": jobs.check, "POST": jobs.submit}),
        ),
        Route("/job/active", Resource({"POST": jobs.take})),
        Route("/job/active/{source}", Resource({"POST": jobs.take})),
        Route("/job", Resource({"GET": jobs.tree})),
        Route("/jobs", Resource({"GET": jobs.list_jobs})),
    ]


class Jobs:
    """The handlers. Each docstring starts with the request that it answers."""

    def __init__(self, dispatcher: Dispatcher, max_document: int) -> None:
        self._dispatcher = dispatcher
        self._max_document = max_document

    async def take(self, ask: Ask) -> Answer:
        """GET /job/available[/{source}], POST /job/active[/{source}]: the oldest available job, now active."""
        query = ask.query(("limit",))
        limit = parameters.limit(query, default=1)
        taken = await self._dispatcher.take(_source_if_any(ask), limit)
        if "limit" in query:
            return Answer(200, [JSON, _ACTIVE, _NO_STORE, _LEASE], b"[" + b",".join(map(_job, taken)) + b"]")
        return _handed_out(taken[0])

    async def look(self, ask: Ask) -> Answer:
        """HEAD /job/available[/{source}]: whether a take would find a job; takes nothing."""
        ask.query(("limit",))
        found = await self._dispatcher.any_available(_source_if_any(ask))
        return Answer(200 if found else 404, [JSON, _NO_STORE, (b"boss-state", b"available" if found else b"none")])

    async def take_one(self, ask: Ask) -> Answer:
        """POST /job/active/{source}/{id}: that one job, now active."""
        ask.query()
        return _handed_out(await self._dispatcher.take_by_address(*_address(ask)))

    async def read(self, ask: Ask) -> Answer:
        """GET /job/{state}/{source}/{id}: that job, if that is its state now."""
        ask.query()
        found = await self._dispatcher.read(_state(ask), *_address(ask))
        return Answer(200, [JSON, _NO_STORE, *_standing(found.state, found.attempt)], _job(found))

    async def check(self, ask: Ask) -> Answer:
        """HEAD /job/{state}/{source}/{id}: whether that job is in that state."""
        ask.query()
        place = await self._dispatcher.check(_state(ask), *_address(ask))
        return Answer(200, [JSON, _NO_STORE, *_standing(place.state, place.attempt)])

    async def submit(self, ask: Ask) -> Answer:
        """POST /job/available/{source}[/{id}]: the document in the body is a new job."""
        source = job.check_source(ask.part("source"))
        id = job.check_id(ask.part("id")) if ask.has("id") else job.new_id()
        query = ask.query(("priority", "delay", "at"))
        if "delay" in query and "at" in query:
            raise BadInput("both delay and at are there; send one of them")
        priority, delay, at = parameters.priority(query), parameters.delay(query), parameters.at(query)
        document = check_object(await ask.body(self._max_document, "the document"), "the document")
        await self._dispatcher.submit(Submission(id, source, document, priority, delay, at))
        submitted = Job(id, source, State.AVAILABLE, document, attempt=0)
        location = (b"location", f"/job/available/{source}/{id}".encode())
        return Answer(201, [JSON, location, *_standing(State.AVAILABLE, 0)], _job(submitted))

    async def finish(self, ask: Ask) -> Answer:
        """POST /job/done/{source}/{id}: that job, available or active, is done; the body, if any, is its result."""
        source, id = _address(ask)
        outcome = parameters.outcome(ask.query(("outcome",)))
        body = await ask.body(self._max_document, "the result")
        result = check_object(body, "the result") if body else None
        await self._dispatcher.finish(Finish(id, source, outcome, result))
        return Answer(200, [JSON, (b"boss-state", b"done")], f'{{"id":"{id}","source":"{source}"}}'.encode())

    async def tree(self, ask: Ask) -> Answer:
        """GET /job: every source's count in every state; drawn, with the newest ids, for Accept: text/plain."""
        ask.query()
        if "text/plain" in (ask.header(b"accept") or ""):
            drawn = draw(await self._dispatcher.count(), await self._dispatcher.newest(DRAWN_IDS + 1))
            return Answer(200, [(b"content-type", b"text/plain; charset=utf-8"), _NO_STORE], drawn.encode())
        return Answer(200, [JSON, _NO_STORE], orjson.dumps(tree(await self._dispatcher.count())))

    async def list_jobs(self, ask: Ask) -> Answer:
        """GET /jobs: a page of jobs with all their properties, greatest id first, and the next page's address."""
        query = ask.query(("state", "source", "after", "limit"))
        state, limit = parameters.state(query), parameters.limit(query, default=_PAGE)
        source = job.check_source(query["source"]) if "source" in query else None
        after = job.check_id(query["after"]) if "after" in query else None
        page = await self._dispatcher.list_jobs(state, source, after, limit)
        headers = [JSON, _NO_STORE]
        following = None
        if page.more:
            kept = {**query, "after": page.jobs[-1].id}
            following = "/jobs?" + "&".join(f"{name}={value}" for name, value in kept.items())
            headers.append((b"link", f'<{following}>; rel="next"'.encode()))
        return Answer(200, headers, orjson.dumps({"jobs": list(_records(page.jobs)), "next": following}, option=_UTC))


_UTC = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


def _handed_out(taken: Job) -> Answer:
    location = (b"location", f"/job/active/{taken.source}/{taken.id}".encode())
    return Answer(200, [JSON, _NO_STORE, location, _LEASE, *_standing(State.ACTIVE, taken.attempt)], _job(taken))


def _standing(state: State, attempt: int) -> tuple[Header, Header]:
    return (b"boss-state", state.encode()), (b"etag", b'"%d"' % attempt)


def _job(shown: Job) -> bytes:
    # Put together as text: the names need no escaping, and the document must not be parsed again.
    return f'{{"id":"{shown.id}","source":"{shown.source}","job":{shown.document}}}'.encode()


def _records(jobs: Sequence[JobRecord]) -> Iterator[dict[str, object]]:
    for record in jobs:
        yield {
            "id": record.id,
            "source": record.source,
            "state": record.state,
            "priority": record.priority,
            "attempt": record.attempt,
            "submitted": record.submitted_at,
            "due": record.due_at,
            "taken": record.taken_at,
            "finished": record.finished_at,
            "outcome": record.outcome,
            "result": record.result and orjson.Fragment(record.result),
            "job": orjson.Fragment(record.document),
        }


def _source_if_any(ask: Ask) -> str | None:
    return job.check_source(ask.part("source")) if ask.has("source") else None


def _address(ask: Ask) -> tuple[str, str]:
    return job.check_source(ask.part("source")), job.check_id(ask.part("id"))


def _state(ask: Ask) -> State:
    return State(ask.path.split("/", 3)[2])
