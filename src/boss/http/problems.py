"""Errors as responses: RFC 9457 problem details, `application/problem+json`."""

import logging
import re
from collections.abc import Sequence
from typing import NamedTuple

import httptools
import orjson

from boss.errors import (
    HTTPS_NEEDED,
    NO_RESOURCE,
    PROBLEM_TYPE,
    SPEAKS_HTTPS,
    BadInput,
    BodyTimeout,
    BossError,
    DatabaseAway,
    Draining,
    Forbidden,
    IdTaken,
    NameTaken,
    NeedsAdmin,
    NoJob,
    NoSchedule,
    NoToken,
    NotThere,
    Overloaded,
    RuleChanged,
    SourceInUse,
    StateMismatch,
    TooLarge,
    TooMany,
    Unauthenticated,
    UnknownJobs,
    WrongAttempt,
)
from boss.http.response import NO_STORE, Header, Response

log = logging.getLogger("boss")

# RFC 9110, 9.1 and 5.6.2.
_METHOD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [/h*]")


class _Problem(NamedTuple):
    status: int
    title: str


_PROBLEMS: dict[type[BossError], _Problem] = {
    BadInput: _Problem(400, "The request is not understood"),
    UnknownJobs: _Problem(400, "The request names jobs that do not exist"),
    TooLarge: _Problem(413, "The document is too large"),
    NotThere: _Problem(404, "The job is not there"),
    WrongAttempt: _Problem(412, "The job is in another attempt"),
    NoJob: _Problem(404, "No job is ready"),
    IdTaken: _Problem(409, "A job with this id exists already"),
    BodyTimeout: _Problem(408, "The request arrived too slowly"),
    Unauthenticated: _Problem(401, "A token is needed"),
    Forbidden: _Problem(403, "That is not allowed"),
    NoToken: _Problem(404, "There is no such token"),
    NoSchedule: _Problem(404, "There is no such schedule"),
    RuleChanged: _Problem(412, "The rule of the source was changed"),
    SourceInUse: _Problem(409, "The source has jobs"),
    NameTaken: _Problem(409, "A token of this name exists already"),
    NeedsAdmin: _Problem(409, "An admin's token is needed"),
    TooMany: _Problem(429, "Too much at once"),
    Overloaded: _Problem(503, "The server is busy"),
    DatabaseAway: _Problem(503, "The database is away"),
    Draining: _Problem(503, "The server is shutting down"),
}
_NO_RESOURCE = _Problem(404, "There is no resource at this path")
_WRONG_METHOD = _Problem(405, "This path does not take this method")
_HTTPS_NEEDED = _Problem(400, "TLS is needed")
_UNREADABLE = _Problem(400, "The request is not HTTP")
_HEADERS_TOO_LARGE = _Problem(431, "The headers are too large")
_UNKNOWN_METHOD = _Problem(501, "This method is not known")
_WRONG_VERSION = _Problem(505, "This version of HTTP is not supported")
_UNFORESEEN = _Problem(500, "Internal server error")

_RETRY_AFTER = (b"retry-after", b"1")


def status(kind: type[BossError]) -> int:
    """The status of the response for an error of this kind."""
    return _PROBLEMS[kind].status


def to_response(error: BossError) -> Response:
    """The response for this error."""
    problem = _PROBLEMS[type(error)]
    headers: list[Header] = []
    if problem.status == 503:
        headers.append(_RETRY_AFTER)
    if isinstance(error, TooMany):
        headers.append((b"retry-after", b"%d" % error.seconds))
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, StateMismatch):
        headers.append((b"boss-state", (error.state or "none").encode()))
    if isinstance(error, NoJob):
        headers.append((b"boss-state", b"none"))
    return _answer(error.name, problem, str(error), headers)


def no_resource(detail: str) -> Response:
    """404 for a path without a resource. It has no Boss-State, because it is not about a job."""
    return _answer(NO_RESOURCE, _NO_RESOURCE, detail)


def wrong_method(method: str, allow: str) -> Response:
    """405, with the methods that the path has in `Allow`."""
    lists = "; lists of jobs are at /jobs" if method == "GET" else ""
    detail = f"{method} is not allowed here; use {allow}{lists}"
    return _answer("wrong-method", _WRONG_METHOD, detail, [(b"allow", allow.encode())])


def unreadable(error: httptools.HttpParserError, data: bytes) -> Response:
    """400 for bytes that are no request; 501 for an unknown method; 505 for HTTP/2's preface."""
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _METHOD.match(data):
        return _answer("unknown-method", _UNKNOWN_METHOD, "the methods are GET, HEAD, POST, PUT and DELETE")
    if "PRI" in str(error):  # llhttp pauses at the preface, so that an HTTP/2 parser could go on
        return wrong_version("2.0")
    return _answer("unreadable", _UNREADABLE, f"the request cannot be parsed: {error}")


def headers_too_large(most: int) -> Response:
    """431, with the limits."""
    detail = f"the request line and headers may have at most {most} bytes together, and there may be 100 headers"
    return _answer("headers-too-large", _HEADERS_TOO_LARGE, detail)


def wrong_version(version: str) -> Response:
    """505 for a version of HTTP other than 1.1 and 1.0."""
    return _answer("wrong-version", _WRONG_VERSION, f"the request is HTTP/{version}; Boss speaks HTTP/1.1 and 1.0")


def https_needed() -> Response:
    """400 for a request without TLS on a port that needs TLS."""
    return _answer(HTTPS_NEEDED, _HTTPS_NEEDED, f"this server {SPEAKS_HTTPS}")


def no_tunnel() -> Response:
    """405 for CONNECT."""
    return wrong_method("CONNECT", "DELETE, GET, HEAD, POST, PUT")


def unforeseen(method: str, route: str) -> Response:
    """500 for the exception being handled. The exception goes to the log, not to the client.

    The log names the route instead of the path, because a path may contain secrets that a client put there.
    """
    log.exception("%s %s failed", method, route)
    return _answer(
        "unforeseen", _UNFORESEEN, "the error is in the server's log; the request may or may not have been carried out"
    )


def _answer(name: str, problem: _Problem, detail: str, headers: Sequence[Header] = ()) -> Response:
    body = orjson.dumps(
        {
            "type": f"{PROBLEM_TYPE}{name}",
            "title": problem.title,
            "status": problem.status,
            "detail": detail[0].upper() + detail[1:],
        }
    )
    return Response(problem.status, [(b"content-type", b"application/problem+json"), NO_STORE, *headers], body)
