"""Answers, and errors as answers: RFC 9457 problem details, `application/problem+json`."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from boss.errors import (
    PROBLEM_TYPE,
    BadInput,
    BossError,
    DatabaseAway,
    Draining,
    ElseThan,
    Forbidden,
    IdTaken,
    NameTaken,
    NeedsAdmin,
    NoJob,
    NoToken,
    NotSignedIn,
    NotThere,
    Overloaded,
    TooLarge,
    TooMany,
    TooSlow,
    WrongAttempt,
)

log = logging.getLogger("boss")

Header = tuple[bytes, bytes]

# An answer is true for the moment only, and its bytes and its ETag are to stay what they are: a proxy that compresses
# makes another tag of it.
NO_STORE = (b"cache-control", b"no-store, no-transform")


class Answer(NamedTuple):
    """A whole answer: status, headers, body."""

    status: int
    headers: Sequence[Header]
    body: bytes = b""


class _Problem(NamedTuple):
    status: int
    title: str


_PROBLEMS: dict[type[BossError], _Problem] = {
    BadInput: _Problem(400, "The request is not understood"),
    TooLarge: _Problem(413, "The document is too large"),
    NotThere: _Problem(404, "The job is not there"),
    WrongAttempt: _Problem(412, "The job has gone to another attempt"),
    NoJob: _Problem(404, "No job is available"),
    IdTaken: _Problem(409, "A job with this id exists already"),
    TooSlow: _Problem(408, "The request came too slowly"),
    NotSignedIn: _Problem(401, "A token is needed"),
    Forbidden: _Problem(403, "That is not allowed"),
    NoToken: _Problem(404, "There is no such token"),
    NameTaken: _Problem(409, "A token of this name exists already"),
    NeedsAdmin: _Problem(409, "An admin's token is needed"),
    TooMany: _Problem(429, "That is too much at once"),
    Overloaded: _Problem(503, "The server is busy"),
    DatabaseAway: _Problem(503, "The database is away"),
    Draining: _Problem(503, "The server is shutting down"),
}
_NO_RESOURCE = _Problem(404, "There is nothing at this path")
_WRONG_METHOD = _Problem(405, "This path does not take this method")
_UNFORESEEN = _Problem(500, "Boss made a mistake")

_RETRY_AFTER = (b"retry-after", b"1")


def status(kind: type[BossError]) -> int:
    """The status of the answer to a request that ended in an error of this kind."""
    return _PROBLEMS[kind].status


def of(error: BossError) -> Answer:
    """The answer to a request that ended in this error."""
    problem = _PROBLEMS[type(error)]
    headers: list[Header] = []
    if problem.status == 503:
        headers.append(_RETRY_AFTER)
    if isinstance(error, TooMany):
        headers.append((b"retry-after", b"%d" % error.seconds))
    if isinstance(error, NotSignedIn):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, ElseThan):
        headers.append((b"boss-state", (error.state or "none").encode()))
    if isinstance(error, NoJob):
        headers.append((b"boss-state", b"none"))
    return _answer(error.name, problem, str(error), headers)


def no_resource(detail: str) -> Answer:
    """404 for a path that is no resource; it has no Boss-State, for it is about no job."""
    return _answer("no-resource", _NO_RESOURCE, detail)


def wrong_method(method: str, allow: str) -> Answer:
    """405, with what the path does take in `Allow`."""
    lists = "; lists of jobs are at /jobs" if method == "GET" else ""
    detail = f"{method} is not taken here; {allow} is{lists}"
    return _answer("wrong-method", _WRONG_METHOD, detail, [(b"allow", allow.encode())])


def unforeseen(method: str, route: str) -> Answer:
    """500 for the exception being handled: what happened goes to the log, not to the client.

    The log has the route and not the path, in which somebody may have put what they should not.
    """
    log.exception("%s %s failed", method, route)
    return _answer(
        "unforeseen", _UNFORESEEN, "it is in the server's log; the request may or may not have been carried out"
    )


def _answer(name: str, problem: _Problem, detail: str, headers: Sequence[Header] = ()) -> Answer:
    body = orjson.dumps(
        {
            "type": f"{PROBLEM_TYPE}{name}",
            "title": problem.title,
            "status": problem.status,
            "detail": detail[0].upper() + detail[1:],
        }
    )
    return Answer(problem.status, [(b"content-type", b"application/problem+json"), NO_STORE, *headers], body)
