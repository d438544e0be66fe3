"""Many at once: one JSON object a line (application/x-ndjson). An error names its line, counted from 1."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import msgspec

from boss.document import check_object
from boss.errors import BadInput, TooLarge
from boss.http.exchange import Ask
from boss.job import Finish, Outcome, check_id, check_new_id

# So that one request cannot keep others waiting for long.
_MOST_LINES = 10_000
_MOST_BYTES = 16 * 1024 * 1024
# What a line may have around its document: its id and the names of both.
_LONGEST_ID = 100


class _FinishLine(msgspec.Struct, forbid_unknown_fields=True):
    """One line of many finishes."""

    id: str
    outcome: Literal["completed", "failed", "stopped"] = "completed"
    result: msgspec.Raw = msgspec.Raw()
    attempt: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None


class _SubmitLine(msgspec.Struct, forbid_unknown_fields=True):
    """One line of many submits whose ids are given."""

    id: str
    job: msgspec.Raw


async def documents(ask: Ask, max_document: int) -> list[str]:
    """The documents in the body.

    Raises:
        BadInput: one of them is no document.
    """
    return [check_object(line, f"line {number}: the document") for number, line in await _lines(ask, max_document)]


async def named_documents(ask: Ask, max_document: int) -> list[tuple[str, str]]:
    """The ids and documents in the body.

    Raises:
        BadInput: a line has no id, or no document.
    """
    return [_named_document(number, line) for number, line in await _lines(ask, max_document + _LONGEST_ID)]


def _named_document(number: int, line: bytes) -> tuple[str, str]:
    with _at_line(number):
        parsed = msgspec.json.decode(line, type=_SubmitLine)
        return check_new_id(parsed.id), check_object(bytes(parsed.job), "the document")


async def finishes(ask: Ask, source: str, max_document: int) -> list[Finish]:
    """The finishes of a source's jobs in the body.

    Raises:
        BadInput: one of them cannot be read.
    """
    return [_finish(number, line, source) for number, line in await _lines(ask, max_document)]


def _finish(number: int, line: bytes, source: str) -> Finish:
    with _at_line(number):
        parsed = msgspec.json.decode(line, type=_FinishLine)
        result = bytes(parsed.result)
        return Finish(
            check_id(parsed.id),
            source,
            Outcome(parsed.outcome),
            check_object(result, "the result") if result not in (b"", b"null") else None,
            parsed.attempt,
        )


@contextmanager
def _at_line(number: int) -> Iterator[None]:
    try:
        yield
    except (msgspec.DecodeError, UnicodeDecodeError, BadInput) as error:
        raise BadInput(f"line {number}: {error}") from None
    except RecursionError:
        raise BadInput(f"line {number}: it is nested too deeply") from None


async def _lines(ask: Ask, max_document: int) -> list[tuple[int, bytes]]:
    body = await ask.body(max(_MOST_BYTES, 2 * max_document), "the body")
    lines = list(_numbered(body, max_document))
    if not lines:
        raise BadInput("the body is empty; send one JSON object a line")
    return lines


def _numbered(body: bytes, max_document: int) -> Iterator[tuple[int, bytes]]:
    lines = body.split(b"\n")
    if not lines[-1]:  # the last line may end with a line feed or not
        lines.pop()
    if len(lines) > _MOST_LINES:
        raise TooLarge(f"the body has {len(lines):,} lines; at most {_MOST_LINES:,} are taken at once")
    for number, line in enumerate(lines, start=1):
        if len(line) > max_document:
            raise TooLarge(f"line {number} is larger than {max_document} bytes, which is the most this Boss takes")
        yield number, line
