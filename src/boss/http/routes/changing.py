"""PUT below /job: change an available job, and leave a note with an active one."""

from boss.dispatch.dispatcher import Dispatcher
from boss.errors import BadInput
from boss.http import parameters
from boss.http.auth import requires
from boss.http.job_json import ACTIVE, job_json, state_headers
from boss.http.request import Request
from boss.http.response import JSON, NO_STORE, Response
from boss.model import job
from boss.model.document import check_object
from boss.model.job import MOST_NOTE, Change, Note
from boss.model.permissions import Permission


class Changes:
    """The handlers. Each docstring starts with the request that it answers."""

    def __init__(self, dispatcher: Dispatcher, max_document: int) -> None:
        self._dispatcher = dispatcher
        self._max_document = max_document

    @requires(Permission.SUBMIT)
    async def change(self, request: Request) -> Response:
        """PUT /job/available/{source}/{id}: change the priority or a time of that job, or its document."""
        source, id = address(request)
        asked = parameters.of_change(request.query(parameters.CHANGE))
        body = await request.body(self._max_document, "the document")
        document = check_object(body, "the document", self._max_document) if body else None
        if document is None and all(value is None for value in asked):
            known = ", ".join(f"?{name}=" for name in parameters.CHANGE)
            raise BadInput(f"say what to change: a document in the body, or one of {known}")
        changed = await self._dispatcher.change(
            Change(
                id=id,
                source=source,
                attempt=parameters.attempt(request.header(b"if-match")),
                document=document and document.text,
                document_bytes=document and document.size,
                priority=asked.priority,
                delay=asked.delay,
                due_at=asked.at,
                timeout=asked.timeout,
                expires=asked.expires,
                by=request.principal.name,
            )
        )
        return Response(200, [JSON, NO_STORE, *state_headers(changed.state, changed.attempt)], job_json(changed))

    @requires(Permission.CONVERT)
    async def leave_note(self, request: Request) -> Response:
        """PUT /job/active/{source}/{id}: the body is that job's note, for its next attempt; its lease is renewed."""
        source, id = address(request)
        request.query()
        attempt = parameters.attempt(request.header(b"if-match"))
        note = check_object(await request.body(MOST_NOTE, "the note"), "the note", MOST_NOTE)
        await self._dispatcher.leave_note(Note(id, source, attempt, note.text))
        return Response(204, [NO_STORE, ACTIVE])


def address(request: Request) -> tuple[str, str]:
    """The source and the id in the path of a request about one job."""
    return job.check_source(request.path_param("source")), job.check_id(request.path_param("id"))
