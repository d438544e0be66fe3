"""Responses of Boss, and the errors that they stand for. This module imports nothing that is slow to import."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from boss import errors
from boss.client.json_text import read
from boss.errors import (
    HTTPS_NEEDED,
    NO_RESOURCE,
    PROBLEM_TYPE,
    SPEAKS_HTTPS,
    BadInput,
    BossError,
    Forbidden,
    NotABoss,
    NotThere,
    StateMismatch,
    Unauthenticated,
    WrongAttempt,
)

# How long a server may take for a response, besides the time that a take waits, in seconds.
TIMEOUT_S = 30.0
# Statuses that a proxy or Boss itself sends while Boss or its database is away. The request may be retried.
AWAY = (502, 503, 504)
TOO_MANY = 429
_TOO_LARGE = 413
_PROBLEM = "application/problem+json"

_ERRORS: dict[str, type[BossError]] = {
    kind.name: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BossError)
}
# Errors by status, for responses to HEAD, which have no body.
_REFUSED: Mapping[int, type[BossError]] = {401: Unauthenticated, 403: Forbidden}


class Answer(NamedTuple):
    """A complete response. Its headers are found by names in lower case."""

    method: str
    url: str
    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        """The body, parsed as JSON."""
        return read(self.text)

    @property
    def is_problem(self) -> bool:
        """Whether the body is one of Boss's problems (RFC 9457)."""
        return self.headers.get("content-type") == _PROBLEM and bool(self.text)


def check(answer: Answer) -> None:
    """Raise the error that the response stands for, if it is not a success.

    Only a response with Boss-State, or with one of Boss's problems, comes from Boss. Any other error comes from a proxy
    or another server.
    """
    if answer.status < 300:
        return
    state = answer.headers.get("boss-state")
    state = None if state == "none" else state
    if answer.method == "HEAD" and answer.status in _REFUSED:
        raise _REFUSED[answer.status](f"{_path(answer)} is refused: the token is not valid, or does not permit this")
    if answer.method == "HEAD" and answer.status == 400 and answer.headers.get("content-type") == _PROBLEM:
        raise BadInput(f"{_path(answer)} is not a job's address: its source or its id is not valid")
    if answer.method == "HEAD" and "boss-state" in answer.headers:
        sentence = f"{_path(answer)} is {state or 'nowhere'}"
        raise NotThere(sentence, state) if answer.status == 404 else WrongAttempt(sentence, state)
    if answer.status == _TOO_LARGE and not answer.is_problem:
        raise BadInput(f"something between here and Boss refuses a body of this size: {answer.url} answers 413")
    if not answer.is_problem and not _is_without_body(answer):
        raise NotABoss(f"{answer.url} answers {answer.status}. Is it a Boss?")
    problem = answer.json() if answer.text else {"type": f"{PROBLEM_TYPE}{NO_RESOURCE}", "detail": ""}
    sentence = problem["detail"]
    if problem["type"] == f"{PROBLEM_TYPE}{NO_RESOURCE}":
        raise NotABoss(f"Boss has nothing at {answer.url}. Is the path in its URL right?")
    if problem["type"] == f"{PROBLEM_TYPE}{HTTPS_NEEDED}":
        here = urlsplit(answer.url)
        raise NotABoss(f"the server at {here.scheme}://{here.netloc} {SPEAKS_HTTPS}")
    kind = _ERRORS.get(problem["type"].removeprefix(PROBLEM_TYPE), BossError)
    raise kind(sentence, state) if issubclass(kind, StateMismatch) else kind(sentence)


def _is_without_body(answer: Answer) -> bool:
    """Whether this is Boss's 404 to HEAD for a path without a resource."""
    return answer.method == "HEAD" and answer.status == 404 and answer.headers.get("content-type") == _PROBLEM


def _path(answer: Answer) -> str:
    return unquote(urlsplit(answer.url).path)
