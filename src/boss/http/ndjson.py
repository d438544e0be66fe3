"""Batches: one JSON object a line (application/x-ndjson). An error names its line, counted from 1."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal, NamedTuple

import msgspec

from boss.errors import BadInput, TooLarge
from boss.http.request import Request
from boss.http.response import NDJSON
from boss.model.document import JsonText, check_object, parse_object, size_as_read
from boss.model.job import Finish, Outcome, check_id, check_new_id

# Limits of a batch, so that one request cannot keep others waiting for long.
_MOST_LINES = 10_000
_MOST_BYTES = 16 * 1024 * 1024
# How many bytes a line may have besides its document: its id and the names of the two fields.
_LONGEST_ID = 100


class _FinishLine(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a batch finish."""

    id: str
    outcome: Literal["completed", "failed", "stopped"] = "completed"
    result: msgspec.Raw = msgspec.Raw()
    attempt: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None


def is_batch(request: Request) -> bool:
    """Whether the body of a request is a batch, by its Content-Type."""
    return (request.header(b"content-type") or "").partition(";")[0].strip().lower() == NDJSON


class Refused(NamedTuple):
    """A line that can be read but finishes no job, because its result cannot be stored."""

    id: str
    outcome: Outcome
    error: BadInput


class _SubmitLine(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a batch submit with given ids."""

    id: str
    job: msgspec.Raw


async def documents(request: Request, max_document: int) -> list[JsonText]:
    """The documents in the body.

    Raises:
        BadInput: a line is no document.
    """
    return [_document(number, line, max_document) for number, line in await _lines(request, max_document)]


def _document(number: int, line: bytes, max_document: int) -> JsonText:
    with _at_line(number):
        return check_object(line, "the document", max_document)


async def named_documents(request: Request, max_document: int) -> list[tuple[str, JsonText]]:
    """The ids and documents in the body.

    Raises:
        BadInput: a line has no id, or no document.
    """
    return [
        _named_document(number, line, max_document)
        for number, line in await _lines(request, max_document + _LONGEST_ID)
    ]


def _named_document(number: int, line: bytes, max_document: int) -> tuple[str, JsonText]:
    with _at_line(number):
        parsed = msgspec.json.decode(line, type=_SubmitLine)
        return check_new_id(parsed.id), check_object(bytes(parsed.job), "the document", max_document)


async def finishes(request: Request, source: str, max_document: int) -> list[Finish | Refused]:
    """The finishes of a source's jobs in the body, in their order. A line whose result cannot be stored is `Refused`.

    Raises:
        BadInput: a line cannot be read.
    """
    return [_finish(number, line, source, max_document) for number, line in await _lines(request, max_document)]


def _finish(number: int, line: bytes, source: str, max_document: int) -> Finish | Refused:
    with _at_line(number):
        parsed = msgspec.json.decode(line, type=_FinishLine)
        id, sent = check_id(parsed.id), bytes(parsed.result)
        finish = Finish(id=id, source=source, outcome=Outcome(parsed.outcome), attempt=parsed.attempt)
        if sent in (b"", b"null"):
            return finish
        result = parse_object(sent, "the result")
    try:
        return finish._replace(result=result, result_bytes=size_as_read(result, "the result", max_document))
    except BadInput as error:
        return Refused(id, finish.outcome, error)


@contextmanager
def _at_line(number: int) -> Iterator[None]:
    try:
        yield
    except TooLarge as error:
        raise TooLarge(f"line {number}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, BadInput) as error:
        raise BadInput(f"line {number}: {error}") from None
    except RecursionError:
        raise BadInput(f"line {number}: it is nested too deeply") from None


async def _lines(request: Request, max_document: int) -> list[tuple[int, bytes]]:
    body = await request.body(max(_MOST_BYTES, 2 * max_document), "the body")
    lines = list(_numbered(body, max_document))
    if not lines:
        raise BadInput("the body is empty; send one JSON object a line")
    return lines


def _numbered(body: bytes, max_document: int) -> Iterator[tuple[int, bytes]]:
    lines = body.split(b"\n")
    if not lines[-1]:  # the last line may end with a line feed
        lines.pop()
    if len(lines) > _MOST_LINES:
        raise TooLarge(f"the body has {len(lines):,} lines; at most {_MOST_LINES:,} are taken at once")
    for number, line in enumerate(lines, start=1):
        if len(line) > max_document:
            raise TooLarge(f"line {number} is larger than {max_document} bytes, which is the most this Boss takes")
        yield number, line
