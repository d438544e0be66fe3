"""The resource tree, `/job/{state}/{source}/{id}`: thin handlers over the dispatcher."""

from collections.abc import Sequence
from functools import lru_cache, partial
from urllib.parse import unquote

import orjson

from boss.dispatch.converters import Converters
from boss.dispatch.dispatcher import Dispatcher
from boss.dispatch.queries import Queries
from boss.errors import BadInput, IdTaken, NoJob
from boss.http import ndjson, parameters, problems
from boss.http.auth import requires
from boss.http.job_json import (
    LINES,
    handed_out,
    handed_out_many,
    job_json,
    lease_header,
    state_headers,
    submitted,
)
from boss.http.ndjson import Refused
from boss.http.parameters import TakeParameters
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import JSON, NDJSON, NO_STORE, Response
from boss.http.routes.changing import Changes, address
from boss.http.routes.moving import Moves, check_is_admin
from boss.model import job
from boss.model.document import check_object
from boss.model.ids import new_id
from boss.model.job import DEFAULT_ATTEMPTS, After, Finish, GiveBack, Outcome, State, Submission, Take
from boss.model.permissions import Permission, Principal
from boss.settings import Settings
from boss.telemetry import tracing


def resources(jobs: "Jobs") -> list[Resource]:
    """The resources below /job."""
    return [
        Resource("/job/available", {"GET": jobs.take, "HEAD": jobs.any_available}, waiting="GET"),
        Resource(
            "/job/available/{source}",
            {"GET": jobs.take, "HEAD": jobs.any_available, "POST": jobs.submit},
            waiting="GET",
        ),
        Resource(
            "/job/available/{source}/{id}",
            {"GET": jobs.read, "HEAD": jobs.check, "POST": jobs.submit, "PUT": jobs.changes.change},
        ),
        Resource("/job/active", {"POST": jobs.take}, waiting="POST"),
        Resource("/job/active/{source}", {"POST": jobs.take}, waiting="POST"),
        Resource(
            "/job/active/{source}/{id}",
            {
                "GET": jobs.read_active,
                "HEAD": jobs.check_active,
                "POST": jobs.take_one,
                "PUT": jobs.changes.leave_note,
                "DELETE": jobs.give_back,
            },
            waiting="POST",
        ),
        Resource("/job/done", {"DELETE": jobs.prune}),
        Resource("/job/done/{source}", {"POST": jobs.finish_many, "DELETE": jobs.moves.delete_many}),
        Resource(
            "/job/done/{source}/{id}",
            {"GET": jobs.read, "HEAD": jobs.check, "POST": jobs.finish, "DELETE": jobs.moves.delete},
        ),
    ]


class Jobs:
    """The handlers. Each docstring starts with the request that it answers."""

    def __init__(
        self, dispatcher: Dispatcher, queries: Queries, converters: Converters, moves: Moves, settings: Settings
    ) -> None:
        self.moves = moves
        self.changes = Changes(dispatcher, settings.max_document)
        self._dispatcher = dispatcher
        self._converters = converters
        self._asked = converters.asked
        self._queries = queries
        self._max_document = settings.max_document
        self._lease = settings.lease
        # The leases of those sources that have their own.
        self._leases = dispatcher.leases

    @requires(Permission.CONVERT)
    async def take(self, request: Request) -> Response:
        """GET /job/available[/{sources}], POST /job/active[/{sources}]: the oldest available job, now active."""
        text = request.params.get("source")
        sources = None if text is None else _sources(text)
        asked = parameters.of_take(request.query_text)
        take = self._take(request, asked, sources)
        if asked.fair and sources is not None and len(sources) == 1:
            raise BadInput("fair works across sources; leave it out, name several sources, or name none")
        wait = asked.wait
        if wait is None and b"prefer" in request.headers:
            wait = parameters.preferred_wait(request.headers[b"prefer"].decode("latin-1"))
        self._asked.add((take.source, take.sources))
        if take.converter is not None:
            self._converters.hear(take)
        granted = [] if wait is None else [(b"preference-applied", b"wait=%d" % wait)]
        if wait:
            request.wait(wait)
        try:
            taken = await self._dispatcher.take(take, wait or 0)
        except NoJob as error:
            answer = problems.to_response(error)
            return answer._replace(headers=[*answer.headers, *granted])
        if take.converter is not None:
            self._converters.hear(take, len(taken))
        tracing.of_takes(each.job.traceparent for each in taken)
        is_single = asked.limit is None
        undo = partial(self._dispatcher.undo_takes, taken)
        if is_single:
            return handed_out(taken[0], granted, undo)
        return handed_out_many(taken, request.header(b"accept") or "", granted, undo)

    @requires(Permission.PEEK)
    async def any_available(self, request: Request) -> Response:
        """HEAD /job/available[/{sources}]: whether a take would find a job; takes nothing."""
        sources = _sources(request.params["source"]) if "source" in request.params else None
        asked = parameters.of_take(request.query_text)
        found = await self._queries.any_available(self._take(request, asked, sources))
        return Response(200 if found else 404, [JSON, NO_STORE, (b"boss-state", b"available" if found else b"none")])

    @requires(Permission.CONVERT)
    async def take_one(self, request: Request) -> Response:
        """POST /job/active/{source}/{id}: that one job, now active."""
        source, id = address(request)
        request.query(("lease",))
        take = self._take(request, parameters.of_take(request.query_text), (source,), id)
        taken = await self._dispatcher.take_by_address(source, id, take)
        if take.converter is not None:
            self._converters.hear(take, 1)
        tracing.of_takes([taken.job.traceparent])
        return handed_out(taken, (), partial(self._dispatcher.undo_takes, [taken]))

    def _take(
        self, request: Request, asked: TakeParameters, sources: tuple[str, ...] | None, id: str | None = None
    ) -> Take:
        principal, headers, key = request.principal, request.headers, None
        if b"idempotency-key" in headers:
            named = ",".join(sources or ()) + (f"/{id}" if id else "")
            key = _key(headers[b"idempotency-key"], named, principal)
        if sources is None and principal.sources is not None:
            sources = tuple(sorted(principal.sources))
        source = None
        if sources is not None and len(sources) == 1:
            source, sources = sources[0], None
        lease = asked.lease
        if lease is None and source is not None:
            lease = self._leases.get(source)
        return Take(
            source=source,
            limit=asked.limit or 1,
            lease=self._lease if lease is None else lease,
            key=key,
            by=principal.name,
            sources=sources,
            fair=asked.fair,
            converter=parameters.converter(headers[b"boss-converter"]) if b"boss-converter" in headers else None,
            lease_by_rule=asked.lease is None and source is None and bool(self._leases),
        )

    @requires(Permission.CONVERT)
    async def give_back(self, request: Request) -> Response:
        """DELETE /job/active/{source}/{id}: give that job back.

        It is available again after a delay, or done after its last attempt.
        """
        source, id = address(request)
        query = request.query(("delay", "uncounted"))
        delay, uncounted = parameters.delay(query), parameters.uncounted(query)
        attempt, (result, size) = parameters.attempt(request.header(b"if-match")), await self._result(request)
        state = await self._dispatcher.give_back(
            GiveBack(
                id=id,
                source=source,
                delay=delay,
                attempt=attempt,
                result=result,
                by=request.principal.name,
                result_bytes=size,
                uncounted=uncounted,
            )
        )
        return Response(204, [NO_STORE, (b"boss-state", state.encode())])

    @requires(Permission.READ)
    async def read(self, request: Request) -> Response:
        """GET /job/{available,done}/{source}/{id}: that job, if that is its state now."""
        return await self._read(request)

    @requires(Permission.PEEK)
    async def read_active(self, request: Request) -> Response:
        """GET /job/active/{source}/{id}: that job, if it is active; its lease is not renewed."""
        return await self._read(request)

    async def _read(self, request: Request) -> Response:
        request.query()
        found = await self._queries.read(
            _state(request), *address(request), parameters.attempt(request.header(b"if-match"))
        )
        return Response(200, [JSON, NO_STORE, *state_headers(found.state, found.attempt)], job_json(found))

    @requires(Permission.PEEK)
    async def check(self, request: Request) -> Response:
        """HEAD /job/{available,done}/{source}/{id}: whether that job is in that state."""
        return await self._check(request)

    @requires(Permission.CONVERT)
    async def check_active(self, request: Request) -> Response:
        """HEAD /job/active/{source}/{id}: whether that job is active; its lease is renewed."""
        return await self._check(request)

    async def _check(self, request: Request) -> Response:
        request.query()
        location = await self._dispatcher.check(
            _state(request), *address(request), parameters.attempt(request.header(b"if-match"))
        )
        lease = [lease_header(location.lease)] if location.state is State.ACTIVE else []
        return Response(200, [JSON, NO_STORE, *lease, *state_headers(location.state, location.attempt)])

    @requires(Permission.SUBMIT)
    async def submit(self, request: Request) -> Response:
        """POST /job/available/{source}[/{id}]: submit the document in the body as a job; in NDJSON, one a line.

        With ?from=done: redo.
        """
        # Most have no query, and to search an empty one takes ten times as long as to see that it is empty.
        if request.query_text and b"from=" in request.query_text:
            return await self.moves.redo(request)
        source = _new_source(request.params["source"])
        id = job.check_new_id(request.path_param("id")) if "id" in request.params else new_id()
        asked, rule = parameters.of_submit(request.query_text), self._dispatcher.rule(source)
        to_submission = partial(
            Submission,
            source=source,
            priority=asked.priority,
            delay=asked.delay,
            due_at=asked.at,
            attempts=asked.attempts or rule.attempts or DEFAULT_ATTEMPTS,
            timeout=asked.timeout or rule.timeout,
            expires=asked.expires,
            traceparent=tracing.of_submit(request.header(b"traceparent")),
            by=request.principal.name,
        )
        after = None if asked.after is None else After(asked.after, request.principal.sources)
        if ndjson.is_batch(request):
            if "id" in request.params:
                raise BadInput("many jobs cannot have one id; POST the lines to /job/available/{source}")
            if asked.ids_given:
                named = await ndjson.named_documents(request, self._max_document)
                return await self._submit_named(
                    [to_submission(id=id, document=each.text, document_bytes=each.size) for id, each in named], after
                )
            documents = await ndjson.documents(request, self._max_document)
            return await self._submit_many(
                [
                    to_submission(id=new_id(), document=each.text, document_bytes=each.size, is_made=True)
                    for each in documents
                ],
                after,
            )
        if asked.ids_given:
            raise BadInput(
                f"the parameter ids is for many jobs, sent with Content-Type: {NDJSON}; one job's id is in its path"
            )
        body = await request.body(self._max_document, "the document")
        document = check_object(body, "the document", self._max_document)
        is_made = None if "id" in request.params else True
        await self._dispatcher.submit(
            to_submission(id=id, document=document.text, document_bytes=document.size, is_made=is_made), after
        )
        return submitted(id, source, document.text)

    async def _submit_many(self, submissions: Sequence[Submission], after: After | None) -> Response:
        await self._dispatcher.submit_many(submissions, after)
        return Response(201, [LINES, NO_STORE], b"".join(b'{"id":"%s"}\n' % each.id.encode() for each in submissions))

    async def _submit_named(self, submissions: Sequence[Submission], after: After | None) -> Response:
        new = await self._dispatcher.submit_many(submissions, after)
        statuses = (
            b'{"id":"%s","status":%d}\n' % (each.id.encode(), 201 if is_new else _ID_TAKEN)
            for each, is_new in zip(submissions, new, strict=True)
        )
        return Response(200, [LINES, NO_STORE], b"".join(statuses))

    @requires(Permission.CONVERT)
    async def finish(self, request: Request) -> Response:
        """POST /job/done/{source}/{id}: that job, available or active, is done; the body, if any, is its result."""
        source, id = address(request)
        outcome = parameters.outcome(request.query(("outcome",)))
        if outcome is Outcome.STOPPED:
            check_is_admin(request, "stop jobs")
        attempt, (result, size) = parameters.attempt(request.header(b"if-match")), await self._result(request)
        finish = Finish(
            id=id,
            source=source,
            outcome=outcome,
            result=result,
            attempt=attempt,
            by=request.principal.name,
            result_bytes=size,
        )
        await self._dispatcher.finish(finish)
        done = f'{{"id":"{id}","source":"{source}"}}'
        return Response(200, [JSON, NO_STORE, (b"boss-state", b"done")], done.encode())

    async def _result(self, request: Request) -> tuple[str | None, int | None]:
        """The result in the body, and its size."""
        body = await request.body(self._max_document, "the result")
        return check_object(body, "the result", self._max_document) if body else (None, None)

    @requires(Permission.CONVERT)
    async def finish_many(self, request: Request) -> Response:
        """POST /job/done/{source}, NDJSON: finish a job with every line; the response has the status of each.

        With ?from=available or active: stop.
        """
        if b"from=" in request.query_text:
            return await self.moves.stop(request)
        source = job.check_source(request.path_param("source"))
        request.query()
        if not ndjson.is_batch(request):
            raise BadInput(
                f"finish one job at /job/done/{source}/{{id}}, or many jobs here with Content-Type: {NDJSON}"
            )
        asked = await ndjson.finishes(request, source, self._max_document)
        for each in asked:
            if each.outcome is Outcome.STOPPED:
                check_is_admin(request, "stop jobs")
        finishes = [each._replace(by=request.principal.name) for each in asked if isinstance(each, Finish)]
        finished = iter(await self._dispatcher.finish_many(finishes))
        errors = (each.error if isinstance(each, Refused) else next(finished) for each in asked)
        lines = (
            b'{"id":"%s","status":%d}\n' % (each.id.encode(), problems.status(type(error)) if error else 200)
            for each, error in zip(asked, errors, strict=True)
        )
        return Response(200, [LINES, NO_STORE], b"".join(lines))

    @requires(Permission.ADMINISTER)
    async def prune(self, request: Request) -> Response:
        """DELETE /job/done?older=…: delete jobs that have been done for so many seconds, at most 10,000 at once.

        With ?dry_run=1 it only counts them.
        """
        query = request.query(("older", "dry_run"))
        older = parameters.older(query)
        if parameters.dry_run(query):
            jobs, more = await self._queries.prunable(older)
            done = {"deleted": 0, "would_delete": jobs, "more": more}
        else:
            deleted, more = await self._dispatcher.prune(older, request.principal.name)
            done = {"deleted": deleted, "more": more}
        return Response(200, [JSON, NO_STORE], orjson.dumps(done))


_ID_TAKEN = problems.status(IdTaken)


@lru_cache(maxsize=256)
def _new_source(text: str) -> str:
    """The source in the path of a submit."""
    return job.check_new_source(unquote(text))


@lru_cache(maxsize=256)
def _sources(text: str) -> tuple[str, ...]:
    """The sources in a path. Converters send the same ones with every take."""
    return job.check_sources(unquote(text))


def _key(header: bytes, named: str, principal: Principal) -> str:
    """The key of a take.

    It is scoped to the address that it was sent to, as in the IETF's Idempotency-Key draft, and to the principal that
    sent it. So nobody gets another's jobs by sending the same key.
    """
    key = f"{named} {parameters.take_key(header.decode('latin-1'))}"
    return key if principal.name is None else f"{principal.name}: {key}"


def _state(request: Request) -> State:
    return State(request.path.split("/", 3)[2])
