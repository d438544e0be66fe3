"""Redo, stop and delete below /job: one done job, or all jobs of a source that a filter finds."""

from collections.abc import Mapping

import orjson

from boss.dispatch.moving import Moving, Progress, Wanted
from boss.errors import BadInput, Forbidden
from boss.http import filters, parameters
from boss.http.auth import requires
from boss.http.job_json import job_json, state_headers
from boss.http.request import Request
from boss.http.response import JSON, NO_STORE, Response
from boss.http.routes.changing import address
from boss.model import job
from boss.model.document import check_object
from boss.model.finding import JobFilter, check_reason, checked
from boss.model.job import Outcome, Redo, State
from boss.model.permissions import Permission

_BATCH = (*filters.FILTER, "after", "dry_run")


class Moves:
    """The handlers. Each docstring starts with the request that it answers."""

    def __init__(self, moving: Moving, max_document: int) -> None:
        self._moving = moving
        self._max_document = max_document

    async def redo(self, request: Request) -> Response:
        """POST /job/available/{source}[/{id}]?from=done: that job, or all that a filter finds, available again."""
        check_is_admin(request, "redo jobs")
        source = job.check_source(request.path_param("source"))
        if "id" in request.params:
            return await self._redo_one(request, source, job.check_id(request.path_param("id")))
        query = request.query(("from", *_BATCH))
        _check_from(query, State.DONE)
        await _no_body(request)
        wanted = await self._wanted(request, source, query)
        if parameters.dry_run(query):
            return _progress(request, query, wanted, "moved", await self._moving.count_done(wanted))
        done = await self._moving.redo_many(wanted, filters.place(query))
        return _progress(request, query, wanted, "moved", done)

    async def _redo_one(self, request: Request, source: str, id: str) -> Response:
        _check_from(request.query(("from",)), State.DONE)
        body = await request.body(self._max_document, "the document")
        document = check_object(body, "the document", self._max_document) if body else None
        attempt = parameters.attempt(request.header(b"if-match"))
        asked = Redo(
            id, source, attempt, document and document.text, document and document.size, request.principal.name
        )
        redone = await self._moving.redo(asked)
        location = (b"location", f"/job/available/{source}/{id}".encode())
        headers = [JSON, NO_STORE, location, *state_headers(redone.state, redone.attempt)]
        return Response(200, headers, job_json(redone))

    async def stop(self, request: Request) -> Response:
        """POST /job/done/{source}?from=available or active: stop all that a filter finds; the body is their result."""
        check_is_admin(request, "stop jobs")
        source = job.check_source(request.path_param("source"))
        query = request.query(("from", "outcome", "since", "until", "reason", "after", "dry_run"))
        state = _check_from(query, State.AVAILABLE, State.ACTIVE)
        if "reason" in query:
            raise BadInput('the reason of a stop goes into the body: {"reason": "wrong file"}')
        if query.get("outcome", Outcome.STOPPED) != Outcome.STOPPED:
            raise BadInput(f"the outcome is {query['outcome']!a}; many jobs can only be stopped")
        wanted = await self._wanted(request, source, query, state)
        if parameters.dry_run(query):
            return _progress(request, query, wanted, "moved", await self._moving.count_open(wanted))
        body = await request.body(self._max_document, "the result")
        result, size = check_object(body, "the result", self._max_document) if body else (None, None)
        after = job.check_id(query["after"]) if "after" in query else ""
        done = await self._moving.stop_many(wanted, after, result, size)
        return _progress(request, query, wanted, "moved", done)

    @requires(Permission.ADMINISTER)
    async def delete(self, request: Request) -> Response:
        """DELETE /job/done/{source}/{id}: delete that job."""
        request.query()
        source, id = address(request)
        attempt = parameters.attempt(request.header(b"if-match"))
        await self._moving.delete(source, id, attempt, request.principal.name)
        return Response(204, [NO_STORE])

    @requires(Permission.ADMINISTER)
    async def delete_many(self, request: Request) -> Response:
        """DELETE /job/done/{source}: delete all done jobs of the source that a filter finds."""
        source = job.check_source(request.path_param("source"))
        query = request.query(_BATCH)
        wanted = await self._wanted(request, source, query)
        if parameters.dry_run(query):
            return _progress(request, query, wanted, "deleted", await self._moving.count_done(wanted))
        done = await self._moving.delete_many(wanted, filters.place(query))
        return _progress(request, query, wanted, "deleted", done)

    async def _wanted(
        self, request: Request, source: str, query: Mapping[str, str], state: State = State.DONE
    ) -> Wanted:
        """The jobs that a request is about. One that names no end is about those that there are now."""
        until = parameters.instant(query, "until") or await self._moving.now()
        asked = JobFilter(
            state,
            (source,),
            # Of a stop it is what the jobs get.
            filters.outcome(query) if state is State.DONE else None,
            parameters.instant(query, "since"),
            until,
            check_reason(query["reason"]) if "reason" in query else None,
        )
        return Wanted(source, checked(asked), until, request.principal.name)


def _progress(request: Request, query: Mapping[str, str], wanted: Wanted, done: str, progress: Progress) -> Response:
    """How many jobs were moved or deleted, or would be, and the address of the next request, if more are left."""
    until = filters.instant_text(wanted.until)
    if "dry_run" in query and parameters.dry_run(query):
        counted = {done: 0, f"would_{done.removesuffix('d')}": progress.jobs, "more": progress.next is not None}
        return Response(200, [JSON, NO_STORE], orjson.dumps({**counted, "until": until, "next": None}))
    following = None
    if progress.next is not None:
        after = progress.next.id if wanted.filter.state is not State.DONE else filters.place_text(progress.next)
        following = filters.address(request.path, {**query, "until": until, "after": after})
    shown = {done: progress.jobs, "more": following is not None, "until": until, "next": following}
    return Response(200, [JSON, NO_STORE], orjson.dumps(shown))


def _check_from(query: Mapping[str, str], *known: State) -> State:
    if query.get("from") not in known:
        raise BadInput(f"the parameter from is {query.get('from')!a}; here it takes {' or '.join(known)}")
    return State(query["from"])


def check_is_admin(request: Request, what: str) -> None:
    """Refuse a request that only admins may send; `what` says what it does.

    Raises:
        Forbidden: its token is no admin's.
    """
    principal = request.principal
    if not principal.may(Permission.ADMINISTER):
        raise Forbidden(f"the token {principal.name} has the role {principal.role}; only admins may {what}")


async def _no_body(request: Request) -> None:
    if await request.body(1024, "the body"):
        raise BadInput("to redo many jobs takes no body; a document is for one job, at its own address")
