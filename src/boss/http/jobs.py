"""The resource tree, `/job/{state}/{source}/{id}`: thin handlers over the dispatcher."""

from collections.abc import Mapping, Sequence

import orjson
from starlette.routing import BaseRoute

from boss import job, tracing
from boss.access import Right
from boss.dispatcher import Dispatcher
from boss.document import check_object
from boss.errors import BadInput, Forbidden, IdTaken, NoJob, NotThere
from boss.http import guard, ndjson, parameters, problems
from boss.http.exchange import JSON, NDJSON, NO_STORE, Ask, Resource, route
from boss.http.guard import needs
from boss.http.ndjson import Refused
from boss.http.problems import Answer, Header
from boss.http.tree import DRAWN_IDS, draw, tree
from boss.ids import new_id
from boss.job import Finish, GiveBack, Job, JobRecord, Outcome, State, Submission, Take, Taken
from boss.settings import Settings

_ACTIVE = (b"boss-state", b"active")
_LINES = (b"content-type", NDJSON.encode())
_PAGE = 100
_TAKE = ("limit", "wait", "lease", "fair")
_SUBMIT = ("priority", "delay", "at", "attempts", "ids")


def routes(jobs: "Jobs") -> list[BaseRoute]:
    """What is about jobs but not below /job."""
    return [
        route("/job", {"GET": jobs.tree}),
        route("/jobs", {"GET": jobs.list_jobs}),
        route("/jobs/{id}", {"GET": jobs.find}),
    ]


def resources(jobs: "Jobs") -> list[Resource]:
    """Everything below /job."""
    return [
        Resource("/job/available", {"GET": jobs.take, "HEAD": jobs.look}, taking="GET"),
        Resource("/job/available/{source}", {"GET": jobs.take, "HEAD": jobs.look, "POST": jobs.submit}, taking="GET"),
        Resource("/job/available/{source}/{id}", {"GET": jobs.read, "HEAD": jobs.check, "POST": jobs.submit}),
        Resource("/job/active", {"POST": jobs.take}, taking="POST"),
        Resource("/job/active/{source}", {"POST": jobs.take}, taking="POST"),
        Resource(
            "/job/active/{source}/{id}",
            {"GET": jobs.read_active, "HEAD": jobs.check_active, "POST": jobs.take_one, "DELETE": jobs.give_back},
            taking="POST",
        ),
        Resource("/job/done", {"DELETE": jobs.prune}),
        Resource("/job/done/{source}", {"POST": jobs.finish_many}),
        Resource("/job/done/{source}/{id}", {"GET": jobs.read, "HEAD": jobs.check, "POST": jobs.finish}),
    ]


class Jobs:
    """The handlers. Each docstring starts with the request that it answers."""

    def __init__(self, dispatcher: Dispatcher, settings: Settings) -> None:
        self._dispatcher = dispatcher
        self._max_document = settings.max_document
        self._lease = settings.lease

    @needs(Right.CONVERT)
    async def take(self, ask: Ask) -> Answer:
        """GET /job/available[/{sources}], POST /job/active[/{sources}]: the oldest available job, now active."""
        sources = _sources_if_any(ask)
        query = ask.query(_TAKE)
        take = self._take(ask, query, sources, ",".join(sources or ()))
        if take.fair and sources is not None and len(sources) == 1:
            raise BadInput("fair is among sources; leave it out, name several sources, or name none")
        wait = parameters.wait(query, ask.header(b"prefer"))
        granted = [] if wait is None else [(b"preference-applied", b"wait=%d" % wait)]
        if wait:
            ask.wait(wait)
        try:
            taken = await self._dispatcher.take(take, wait or 0)
        except NoJob as error:
            answer = problems.of(error)
            return answer._replace(headers=[*answer.headers, *granted])
        tracing.of_takes(each.job.traceparent for each in taken)
        if "limit" in query:
            return _handed_out_many(ask, taken, granted)
        return _handed_out(taken[0], granted)

    @needs(Right.LOOK)
    async def look(self, ask: Ask) -> Answer:
        """HEAD /job/available[/{sources}]: whether a take would find a job; takes nothing."""
        sources = _sources_if_any(ask)
        found = await self._dispatcher.any_available(self._take(ask, ask.query(_TAKE), sources, ""))
        return Answer(200 if found else 404, [JSON, NO_STORE, (b"boss-state", b"available" if found else b"none")])

    @needs(Right.CONVERT)
    async def take_one(self, ask: Ask) -> Answer:
        """POST /job/active/{source}/{id}: that one job, now active."""
        source, id = _address(ask)
        take = self._take(ask, ask.query(("lease",)), (source,), f"{source}/{id}")
        taken = await self._dispatcher.take_by_address(source, id, take)
        tracing.of_takes([taken.job.traceparent])
        return _handed_out(taken)

    def _take(self, ask: Ask, query: Mapping[str, str], sources: tuple[str, ...] | None, address: str) -> Take:
        limit, lease = parameters.limit(query, default=1), parameters.lease(query, self._lease)
        key = parameters.take_key(ask.header(b"idempotency-key"))
        access = ask.access
        if key is not None:
            # A key counts for the address it was sent to, as in the Idempotency-Key draft of the IETF, and for whoever
            # sent it: another's key gives nobody their jobs.
            key = f"{address} {key}" if access.name is None else f"{access.name}: {address} {key}"
        if sources is None and access.sources is not None:
            sources = tuple(sorted(access.sources))
        source = None
        if sources is not None and len(sources) == 1:
            source, sources = sources[0], None
        return Take(source, limit, lease, key, access.name, sources, parameters.fair(query))

    @needs(Right.CONVERT)
    async def give_back(self, ask: Ask) -> Answer:
        """DELETE /job/active/{source}/{id}: that job is available again after a rest, or done after its last take."""
        source, id = _address(ask)
        query = ask.query(("delay", "uncounted"))
        delay, uncounted = parameters.delay(query), parameters.uncounted(query)
        attempt, (result, size) = _attempt(ask), await self._result(ask)
        state = await self._dispatcher.give_back(
            GiveBack(id, source, delay, attempt, result, ask.access.name, size, uncounted)
        )
        return Answer(204, [NO_STORE, (b"boss-state", state.encode())])

    @needs(Right.READ)
    async def read(self, ask: Ask) -> Answer:
        """GET /job/{available,done}/{source}/{id}: that job, if that is its state now."""
        return await self._read(ask)

    @needs(Right.LOOK)
    async def read_active(self, ask: Ask) -> Answer:
        """GET /job/active/{source}/{id}: that job, if it is active; its lease is not renewed."""
        return await self._read(ask)

    async def _read(self, ask: Ask) -> Answer:
        ask.query()
        found = await self._dispatcher.read(_state(ask), *_address(ask), _attempt(ask))
        return Answer(200, [JSON, NO_STORE, *_standing(found.state, found.attempt)], _job(found))

    @needs(Right.LOOK)
    async def check(self, ask: Ask) -> Answer:
        """HEAD /job/{available,done}/{source}/{id}: whether that job is in that state."""
        return await self._check(ask)

    @needs(Right.CONVERT)
    async def check_active(self, ask: Ask) -> Answer:
        """HEAD /job/active/{source}/{id}: whether that job is active; its lease is renewed."""
        return await self._check(ask)

    async def _check(self, ask: Ask) -> Answer:
        ask.query()
        place = await self._dispatcher.check(_state(ask), *_address(ask), _attempt(ask))
        lease = [_lease(place.lease)] if place.state is State.ACTIVE else []
        return Answer(200, [JSON, NO_STORE, *lease, *_standing(place.state, place.attempt)])

    @needs(Right.SUBMIT)
    async def submit(self, ask: Ask) -> Answer:
        """POST /job/available/{source}[/{id}]: the document in the body is a new job; in NDJSON, each line has one."""
        source = job.check_new_source(ask.part("source"))
        id = job.check_new_id(ask.part("id")) if ask.has("id") else new_id()
        query = ask.query(_SUBMIT)
        if "delay" in query and "at" in query:
            raise BadInput("both delay and at are there; send one of them")
        how = parameters.priority(query), parameters.delay(query), parameters.at(query), parameters.attempts(query)
        of = tracing.of_submit(ask.header(b"traceparent")), ask.access.name
        if _is_ndjson(ask):
            if ask.has("id"):
                raise BadInput("many jobs cannot have one id; POST the lines to /job/available/{source}")
            if parameters.ids_given(query):
                named = await ndjson.named_documents(ask, self._max_document)
                return await self._submit_named(
                    [Submission(id, source, each.text, *how, *of, each.size) for id, each in named]
                )
            documents = await ndjson.documents(ask, self._max_document)
            return await self._submit_many(
                [Submission(new_id(), source, each.text, *how, *of, each.size) for each in documents]
            )
        if parameters.ids_given(query):
            raise BadInput(
                f"the parameter ids is for many jobs, sent with Content-Type: {NDJSON}; one job's id is in its path"
            )
        body = await ask.body(self._max_document, "the document")
        document = check_object(body, "the document", self._max_document)
        await self._dispatcher.submit(Submission(id, source, document.text, *how, *of, document.size))
        submitted = Job(id, source, State.AVAILABLE, document.text, attempt=0)
        location = (b"location", f"/job/available/{source}/{id}".encode())
        return Answer(201, [JSON, NO_STORE, location, *_standing(State.AVAILABLE, 0)], _job(submitted))

    async def _submit_many(self, submissions: Sequence[Submission]) -> Answer:
        await self._dispatcher.submit_many(submissions)
        return Answer(201, [_LINES, NO_STORE], b"".join(b'{"id":"%s"}\n' % each.id.encode() for each in submissions))

    async def _submit_named(self, submissions: Sequence[Submission]) -> Answer:
        new = await self._dispatcher.submit_many(submissions)
        statuses = (
            b'{"id":"%s","status":%d}\n' % (each.id.encode(), 201 if is_new else _ID_TAKEN)
            for each, is_new in zip(submissions, new, strict=True)
        )
        return Answer(200, [_LINES, NO_STORE], b"".join(statuses))

    @needs(Right.CONVERT)
    async def finish(self, ask: Ask) -> Answer:
        """POST /job/done/{source}/{id}: that job, available or active, is done; the body, if any, is its result."""
        source, id = _address(ask)
        outcome = parameters.outcome(ask.query(("outcome",)))
        _check_may_stop(ask, outcome)
        attempt = _attempt(ask)
        result, size = await self._result(ask)
        finish = Finish(id, source, outcome, result, attempt, ask.access.name, size)
        await self._dispatcher.finish(finish)
        return Answer(200, [JSON, NO_STORE, (b"boss-state", b"done")], f'{{"id":"{id}","source":"{source}"}}'.encode())

    async def _result(self, ask: Ask) -> tuple[str | None, int | None]:
        """The result in the body, and its size."""
        body = await ask.body(self._max_document, "the result")
        return check_object(body, "the result", self._max_document) if body else (None, None)

    @needs(Right.CONVERT)
    async def finish_many(self, ask: Ask) -> Answer:
        """POST /job/done/{source}, NDJSON: every line finishes a job; the answer has the status of each."""
        source = job.check_source(ask.part("source"))
        ask.query()
        if not _is_ndjson(ask):
            raise BadInput(
                f"one job is done at /job/done/{source}/{{id}}; many are done here with Content-Type: {NDJSON}"
            )
        asked = await ndjson.finishes(ask, source, self._max_document)
        for each in asked:
            _check_may_stop(ask, each.outcome)
        finishes = [each._replace(by=ask.access.name) for each in asked if isinstance(each, Finish)]
        finished = iter(await self._dispatcher.finish_many(finishes))
        errors = (each.error if isinstance(each, Refused) else next(finished) for each in asked)
        lines = (
            b'{"id":"%s","status":%d}\n' % (each.id.encode(), problems.status(type(error)) if error else 200)
            for each, error in zip(asked, errors, strict=True)
        )
        return Answer(200, [_LINES, NO_STORE], b"".join(lines))

    @needs(Right.ADMINISTER)
    async def prune(self, ask: Ask) -> Answer:
        """DELETE /job/done?older=…: delete jobs that have been done for so many seconds, 10,000 at most at once.

        With ?dry_run=1 nothing is deleted: they are counted.
        """
        query = ask.query(("older", "dry_run"))
        older = parameters.older(query)
        if parameters.dry_run(query):
            jobs, more = await self._dispatcher.prunable(older)
            counted = {"deleted": 0, "would_delete": jobs, "more": more}
            return Answer(200, [JSON, NO_STORE], orjson.dumps(counted))
        deleted, more = await self._dispatcher.prune(older, ask.access.name)
        return Answer(200, [JSON, NO_STORE], orjson.dumps({"deleted": deleted, "more": more}))

    @needs(Right.READ)
    async def tree(self, ask: Ask) -> Answer:
        """GET /job: every source's count in every state; drawn, with the newest ids, for Accept: text/plain."""
        ask.query()
        counts = {
            shelf: jobs for shelf, jobs in (await self._dispatcher.count()).items() if ask.access.reaches(shelf[0])
        }
        if "text/plain" in (ask.header(b"accept") or ""):
            drawn = draw(counts, await self._dispatcher.newest(DRAWN_IDS + 1))
            return Answer(200, [(b"content-type", b"text/plain; charset=utf-8"), NO_STORE], drawn.encode())
        return Answer(200, [JSON, NO_STORE], orjson.dumps(tree(counts)))

    @needs(Right.READ)
    async def list_jobs(self, ask: Ask) -> Answer:
        """GET /jobs: a page of jobs with all their properties, greatest id first, and the next page's address."""
        query = ask.query(("state", "source", "after", "limit"))
        state, limit = parameters.state(query), parameters.limit(query, default=_PAGE)
        sources = None if ask.access.sources is None else sorted(ask.access.sources)
        if "source" in query:
            sources = [job.check_source(query["source"])]
            guard.check_source_reached(ask.access, sources[0])
        after = job.check_id(query["after"]) if "after" in query else None
        page = await self._dispatcher.list_jobs(state, sources, after, limit)
        headers = [JSON, NO_STORE]
        following = None
        if page.more:
            kept = {**query, "after": page.jobs[-1].id}
            following = "/jobs?" + "&".join(f"{name}={value}" for name, value in kept.items())
            headers.append((b"link", f'<{following}>; rel="next"'.encode()))
        return Answer(
            200, headers, orjson.dumps({"jobs": [_record(each) for each in page.jobs], "next": following}, option=_UTC)
        )

    @needs(Right.READ)
    async def find(self, ask: Ask) -> Answer:
        """GET /jobs/{id}: the job with that id with all its properties, whatever its source and state.

        An available one also says why nobody has it yet.
        """
        ask.query()
        found = await self._dispatcher.find(job.check_id(ask.part("id")))
        if not ask.access.reaches(found.source):
            raise NotThere(f"no job has the id {found.id}", None)
        record = _record(found)
        if found.state is State.AVAILABLE:
            record["why"] = await self._dispatcher.why_available(found)
        headers = [JSON, NO_STORE, *_standing(found.state, found.attempt)]
        return Answer(200, headers, orjson.dumps(record, option=_UTC))


_ID_TAKEN = problems.status(IdTaken)
_UTC = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


def _handed_out(taken: Taken, granted: Sequence[Header] = ()) -> Answer:
    shown, lease = taken.job, _lease(taken.lease)
    location = (b"location", f"/job/active/{shown.source}/{shown.id}".encode())
    standing = _standing(State.ACTIVE, shown.attempt)
    trace = [(b"traceparent", shown.traceparent.encode())] if shown.traceparent else []
    return Answer(200, [JSON, NO_STORE, location, lease, *standing, *trace, *granted], _job(shown))


def _handed_out_many(ask: Ask, taken: Sequence[Taken], granted: Sequence[Header]) -> Answer:
    """Many jobs have no one ETag. As NDJSON, each line has its attempt, as the lines of many finishes do."""
    headers = [NO_STORE, _ACTIVE, _lease(taken[0].lease), *granted]
    if NDJSON in (ask.header(b"accept") or ""):
        return Answer(200, [_LINES, *headers], b"".join(_line(each.job) for each in taken))
    return Answer(200, [JSON, *headers], b"[" + b",".join(_job(each.job) for each in taken) + b"]")


def _lease(seconds: int) -> Header:
    return b"boss-lease", b"%d" % seconds


def _attempt(ask: Ask) -> int | None:
    return parameters.attempt(ask.header(b"if-match"))


def _is_ndjson(ask: Ask) -> bool:
    return (ask.header(b"content-type") or "").partition(";")[0].strip().lower() == NDJSON


def _standing(state: State, attempt: int) -> tuple[Header, Header]:
    return (b"boss-state", state.encode()), (b"etag", b'"%d"' % attempt)


def _job(shown: Job) -> bytes:
    # Put together as text: the names need no escaping, and the document must not be parsed again.
    return f'{{"id":"{shown.id}","source":"{shown.source}","job":{shown.document}}}'.encode()


def _line(shown: Job) -> bytes:
    trace = f',"traceparent":"{shown.traceparent}"' if shown.traceparent else ""
    names = f'"id":"{shown.id}","source":"{shown.source}","attempt":{shown.attempt}{trace}'
    return f'{{{names},"job":{shown.document}}}\n'.encode()


def _record(record: JobRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "source": record.source,
        "state": record.state,
        "priority": record.priority,
        "attempt": record.attempt,
        "attempts": record.attempts,
        "submitted": record.submitted_at,
        "due": record.due_at,
        "taken": record.taken_at,
        "seen": record.seen_at,
        "until": record.lease_until,
        "finished": record.finished_at,
        "outcome": record.outcome,
        "result": record.result and orjson.Fragment(record.result),
        "submitted_by": record.submitted_by,
        "taken_by": record.taken_by,
        "finished_by": record.finished_by,
        "history": orjson.Fragment(record.history or "[]"),
        "job": orjson.Fragment(record.document),
    }


def _check_may_stop(ask: Ask, outcome: Outcome) -> None:
    if outcome is Outcome.STOPPED and not ask.access.may(Right.ADMINISTER):
        raise Forbidden(f"the token {ask.access.name} is one of a {ask.access.role}; to stop jobs is for admins")


def _sources_if_any(ask: Ask) -> tuple[str, ...] | None:
    return job.check_sources(ask.part("source")) if ask.has("source") else None


def _address(ask: Ask) -> tuple[str, str]:
    return job.check_source(ask.part("source")), job.check_id(ask.part("id"))


def _state(ask: Ask) -> State:
    return State(ask.path.split("/", 3)[2])
