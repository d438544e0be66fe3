"""The parts of requests: addresses, parameters, headers and NDJSON lines."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from urllib.parse import quote

from boss.client.answers import TIMEOUT_S, Answer
from boss.errors import BadInput
from boss.model.job import REPORTED_OUTCOMES, Finish, Outcome, State

JSON = {"content-type": "application/json"}
NDJSON = {"content-type": "application/x-ndjson"}


class Sender(Protocol):
    """A connection to Boss: `transport.Connection`, or `once.OnceConnection`."""

    @property
    def url(self) -> str:
        """The URL of Boss."""

    async def send(
        self,
        method: str,
        path: str,
        *,
        seconds: float = TIMEOUT_S,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: str | None = None,
    ) -> tuple[Answer, bool]:
        """See `transport.Connection.send`."""

    async def close(self) -> None:
        """Close the connections."""


def address(state: State, *names: str | None) -> str:
    """The address of a state, of a source in it, or of a job."""
    # Every name is encoded, so that it stays one part of the path. The server says if a name is invalid.
    return "/".join(("/job", state, *(quote(name, safe="") for name in names if name is not None)))


def take_address(source: str | Sequence[str] | None) -> str:
    """The address to take a job from: of a source, of one of several, or of any when None."""
    if source is None or (not source and not isinstance(source, str)):
        return address(State.AVAILABLE)
    # A source's name has no comma, so a text with a comma names several sources.
    sources = source.split(",") if isinstance(source, str) else source
    return "/".join(("/job", State.AVAILABLE, ",".join(quote(name, safe="") for name in sources)))


def query(**parameters: object) -> dict[str, str]:
    """The parameters that are not None, as text."""
    return {name: str(value) for name, value in parameters.items() if value is not None}


def job_filter(
    state: str | None,
    source: str | None,
    outcome: str | None,
    since: datetime | None,
    until: datetime | None,
    reason: str | None,
) -> dict[str, str]:
    """The parameters that say which jobs are meant."""
    return query(
        state=state,
        source=source,
        outcome=outcome,
        since=since and since.isoformat(),
        until=until and until.isoformat(),
        reason=reason,
    )


def if_match(attempt: int | None) -> dict[str, str]:
    """The header that limits a request to this attempt."""
    return {} if attempt is None else {"if-match": f'"{attempt}"'}


def reported(word: str) -> Outcome:
    """The outcome of that name.

    Raises:
        BadInput: a client cannot report it.
    """
    if word not in REPORTED_OUTCOMES:
        raise BadInput(f"the outcome is {word!a}; it takes {', '.join(REPORTED_OUTCOMES)}")
    return Outcome(word)


def finish_line(finish: Finish) -> str:
    """One line of a batch finish."""
    result = f',"result":{_in_a_line(finish.result)}' if finish.result else ""
    attempt = f',"attempt":{finish.attempt}' if finish.attempt is not None else ""
    return f'{{"id":{json.dumps(finish.id)},"outcome":"{finish.outcome}"{result}{attempt}}}\n'


def _in_a_line(text: str) -> str:
    """The same JSON in one line. Strings in JSON have no line endings, so all of them can be replaced."""
    return text.replace("\r", " ").replace("\n", " ")
