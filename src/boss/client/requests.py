"""How requests are written: addresses, parameters, headers and lines."""

import json
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import quote

from boss.client.answers import TIMEOUT, Answer
from boss.errors import BadInput
from boss.model.job import REPORTED_OUTCOMES, Finish, Outcome, State

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}


class Sender(Protocol):
    """The way to a Boss: connection.py, or once.py."""

    @property
    def url(self) -> str:
        """Where its Boss is."""

    async def send(
        self,
        method: str,
        path: str,
        *,
        seconds: float = TIMEOUT,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: str | None = None,
    ) -> tuple[Answer, bool]:
        """See `connection.Connection.send`."""

    async def close(self) -> None:
        """Close the connections."""


def address(state: State, *names: str | None) -> str:
    """The address of a state, of a source in it, or of a job."""
    # Whatever the names are, they stay in their part of the path; the server says what is wrong with them.
    return "/".join(("/job", state, *(quote(name, safe="") for name in names if name is not None)))


def take_address(source: str | Sequence[str] | None) -> str:
    """Where to take a job of a source, of any of several, or of any at all when None."""
    if source is None or (not source and not isinstance(source, str)):
        return address(State.AVAILABLE)
    # A comma is in no source's name, and so what has one names several.
    sources = source.split(",") if isinstance(source, str) else source
    return "/".join(("/job", State.AVAILABLE, ",".join(quote(name, safe="") for name in sources)))


def query(**parameters: object) -> dict[str, str]:
    """Those of the parameters that are given."""
    return {name: str(value) for name, value in parameters.items() if value is not None}


def if_match(attempt: int | None) -> dict[str, str]:
    """The header that says: only in this attempt."""
    return {} if attempt is None else {"if-match": f'"{attempt}"'}


def reported(word: str) -> Outcome:
    """The outcome that the word names, if it is one that a client can report."""
    if word not in REPORTED_OUTCOMES:
        raise BadInput(f"{word!a} is no outcome that can be reported: it is {', '.join(REPORTED_OUTCOMES)}")
    return Outcome(word)


def finish_line(finish: Finish) -> str:
    """One line of many finishes."""
    result = f',"result":{_in_a_line(finish.result)}' if finish.result else ""
    attempt = f',"attempt":{finish.attempt}' if finish.attempt is not None else ""
    return f'{{"id":{json.dumps(finish.id)},"outcome":"{finish.outcome}"{result}{attempt}}}\n'


def _in_a_line(text: str) -> str:
    """The same JSON in one line: within a string it has no line ending."""
    return text.replace("\r", " ").replace("\n", " ")
