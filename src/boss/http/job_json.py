"""What jobs look like in responses."""

from collections.abc import Callable, Sequence

import orjson

from boss.http.response import JSON, NDJSON, NO_STORE, Header, Response
from boss.model.job import Job, JobRecord, State, Taken

LINES = (b"content-type", NDJSON.encode())
ACTIVE = (b"boss-state", b"active")
# Says that there is a note, where the body has no place for it.
_NOTED = (b"boss-note", b"yes")
_SUBMITTED = ((b"boss-state", b"available"), (b"etag", b'"0"'))


def submitted(id: str, source: str, document: str) -> Response:
    """The response to a submit of one job."""
    location = (b"location", f"/job/available/{source}/{id}".encode())
    # Built as text: id and source need no escaping, and the document must not be parsed again.
    body = f'{{"id":"{id}","source":"{source}","job":{document}}}'.encode()
    return Response(201, [JSON, NO_STORE, location, *_SUBMITTED], body)


def handed_out(taken: Taken, granted: Sequence[Header], undo: Callable[[], None]) -> Response:
    """The response to a take of one job.

    Args:
        taken: the job with its lease.
        granted: further headers, such as Preference-Applied.
        undo: undoes the take, when the client does not receive the response.
    """
    shown, lease = taken.job, lease_header(taken.lease)
    location = (b"location", f"/job/active/{shown.source}/{shown.id}".encode())
    headers = [JSON, NO_STORE, location, lease, ACTIVE, (b"etag", b'"%d"' % shown.attempt), *granted]
    if shown.traceparent:
        headers.append((b"traceparent", shown.traceparent.encode()))
    if shown.note:
        headers.append(_NOTED)
    return Response(200, headers, job_json(shown), None, undo)


def handed_out_many(
    taken: Sequence[Taken], accept: str, granted: Sequence[Header], undo: Callable[[], None]
) -> Response:
    """The response to a take of many jobs. It has no ETag, which could tag only one attempt.

    As NDJSON, each line has the job's attempt, as the lines of a batch finish do, and its note.
    The lease is the shortest of all.
    """
    headers = [NO_STORE, ACTIVE, lease_header(_shortest(taken)), *granted]
    if NDJSON in accept:
        return Response(200, [LINES, *headers], b"".join(_line(each.job) for each in taken), None, undo)
    if any(each.job.note for each in taken):
        headers.append(_NOTED)
    body = b"[" + b",".join(job_json(each.job) for each in taken) + b"]"
    return Response(200, [JSON, *headers], body, None, undo)


def _shortest(taken: Sequence[Taken]) -> int:
    """The shortest lease of these jobs in seconds, 0 for ever: rules of their sources may say different ones."""
    return min({each.lease for each in taken} - {0}, default=0)


def lease_header(seconds: int) -> Header:
    """The header with the length of a job's lease in seconds."""
    return b"boss-lease", b"%d" % seconds


def state_headers(state: State, attempt: int) -> tuple[Header, Header]:
    """The headers with a job's state, and with its attempt as an ETag."""
    return (b"boss-state", state.encode()), (b"etag", b'"%d"' % attempt)


def job_json(shown: Job) -> bytes:
    """A job with its id, source and document."""
    # Built as text: id and source need no escaping, and the document must not be parsed again.
    return f'{{"id":"{shown.id}","source":"{shown.source}","job":{shown.document}}}'.encode()


def _line(shown: Job) -> bytes:
    trace = f',"traceparent":"{shown.traceparent}"' if shown.traceparent else ""
    note = f',"note":{shown.note}' if shown.note else ""
    names = f'"id":"{shown.id}","source":"{shown.source}","attempt":{shown.attempt}{trace}{note}'
    return f'{{{names},"job":{shown.document}}}\n'.encode()


def record_json(record: JobRecord) -> dict[str, object]:
    """A job with all its properties."""
    return {
        "id": record.id,
        "source": record.source,
        "state": record.state,
        "priority": record.priority,
        "attempt": record.attempt,
        "attempts": record.attempts,
        "submitted": record.submitted_at,
        "due": record.due_at,
        "after": record.after_ids or [],
        "blocked": record.is_blocked,
        "expires": record.expires_at,
        "timeout": record.timeout,
        "taken": record.taken_at,
        "seen": record.seen_at,
        "until": record.lease_until,
        "finished": record.finished_at,
        "outcome": record.outcome,
        "result": record.result and orjson.Fragment(record.result),
        "submitted_by": record.submitted_by,
        "taken_by": record.taken_by,
        "finished_by": record.finished_by,
        "converter": record.converter,
        "note": record.note and orjson.Fragment(record.note),
        "history": orjson.Fragment(record.history or "[]"),
        "job": orjson.Fragment(record.document),
    }
