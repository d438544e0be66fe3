"""What a client can ask of a Boss: the verbs about jobs, whatever the way to it is.

Nothing here waits by itself: async_client.py sends over a connection that an event loop serves, and the command line,
which must not take long to start, over one that blocks (once.py).
"""

import json
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from boss.client.administering import Administering
from boss.client.answers import TIMEOUT, check
from boss.client.json_text import Document, Json, json_text
from boss.client.requests import (
    JSON,
    NDJSON,
    address,
    finish_line,
    if_match,
    query,
    reported,
    take_address,
)
from boss.errors import IdTaken, NoJob, NotThere, WrongAttempt
from boss.model.job import Finish, JobLine, Outcome, State

# How long one request waits for a job, in seconds; the server grants no more.
_POLL = 50
# How much goes into one request of many lines, in bytes and in lines; the server takes more.
MOST_BYTES, MOST_LINES = 4 * 1024 * 1024, 1000


class Handed(NamedTuple):
    """A job as a take's answer has it: its names and attempt, the document as text, and the lease in seconds."""

    job: Document
    text: str
    lease: int


class Verbs(Administering):
    """The verbs; what is done with a job that was taken is for who takes it."""

    async def submit(
        self,
        source: str,
        document: Json,
        *,
        id: str | None = None,
        priority: int = 0,
        delay: float | None = None,
        at: datetime | None = None,
        attempts: int | None = None,
        traceparent: str | None = None,
    ) -> str:
        """Store a new job; return its id.

        Args:
            source: whose converters get it.
            document: what they get: a dict, or JSON text, which they get to the letter.
            id: its id, unique for ever; one is made when None.
            priority: higher first, from -1000 to 1000.
            delay: not handed out before so many seconds have passed.
            at: not handed out before.
            attempts: how many takes it gets.
            traceparent: the trace it belongs to, for who takes it.

        Raises:
            IdTaken: a job with that id exists.
            BadInput: a name or the document cannot be.
        """
        parameters = query(priority=priority or None, delay=delay, at=at and at.isoformat(), attempts=attempts)
        # With an id it is safe to send again: the server takes it once.
        id = id or _new_id()
        headers = {**JSON, "traceparent": traceparent} if traceparent else JSON
        answer, repeated = await self._connection.send(
            "POST",
            address(State.AVAILABLE, source, id),
            params=parameters,
            data=json_text(document),
            headers=headers,
        )
        try:
            check(answer)
        except IdTaken:
            # By an earlier try of this very submit, whose answer was lost.
            if not repeated:
                raise
        return id

    async def submit_lines(
        self,
        source: str,
        lines: Iterable[JobLine],
        *,
        priority: int = 0,
        delay: float | None = None,
        at: datetime | None = None,
        attempts: int | None = None,
    ) -> AsyncIterator[tuple[int, int]]:
        """Store many new jobs, however many, in constant memory; for the rest see `submit`.

        Lines whose id a job has already change nothing: after whatever error the same lines can be submitted again.

        Yields, after each request: of how many lines, and how many of these were new.

        Raises:
            BadInput: a name or a document cannot be; nothing of that request was stored.
        """
        parameters = query(
            ids="given", priority=priority or None, delay=delay, at=at and at.isoformat(), attempts=attempts
        )
        for batch in _batches(lines):
            content = "".join(f'{{"id":{json.dumps(line.id)},"job":{line.document}}}\n' for line in batch)
            answer, repeated = await self._connection.send(
                "POST", address(State.AVAILABLE, source), params=parameters, data=content, headers=NDJSON
            )
            check(answer)
            # When an answer was lost, what is there by now may have been new then.
            yield len(batch), len(batch) if repeated else answer.text.count('"status":201}')

    async def hand_out(
        self,
        limit: int,
        source: str | Sequence[str] | None,
        wait: float | None,
        lease: int | None,
        key: str | None = None,
    ) -> list[Handed]:
        """Take at least one and at most `limit` jobs, as they are in the answer.

        With the key of a take whose answer nobody waited for, they are the jobs that it got, if it got any.
        """
        path = take_address(source)
        until = None if wait is None else time.monotonic() + wait
        # The same key again means the same take again: an answer that was lost on the way costs nothing.
        headers = {"idempotency-key": key or os.urandom(16).hex(), "accept": NDJSON["content-type"]}
        while True:
            left = _POLL if until is None else max(0, min(_POLL, round(until - time.monotonic())))
            parameters = query(limit=limit, wait=left or None, lease=lease)
            try:
                answer = await self._ask("GET", path, params=parameters, headers=headers, seconds=left + TIMEOUT)
            except NoJob:
                if until is not None and time.monotonic() >= until - 0.5:
                    raise
            else:
                granted = int(answer.headers["boss-lease"])
                return [Handed(*_taken(line), granted) for line in answer.text.split("\n")[:-1]]

    async def check(self, source: str, id: str, attempt: int | None = None) -> None:
        """Check on an active job, which renews its lease.

        Raises:
            NotThere: it is not active.
            WrongAttempt: it is in another attempt than the one given.
        """
        await self._ask("HEAD", address(State.ACTIVE, source, id), headers=if_match(attempt))

    async def done(
        self,
        source: str,
        id: str,
        result: Json | None = None,
        outcome: str = Outcome.COMPLETED,
        attempt: int | None = None,
    ) -> None:
        """Move an available or active job to done, as `completed`, `failed` or `stopped`.

        Raises:
            NotThere: it is neither.
            WrongAttempt: it is in another attempt than the one given.
            BadInput: the result cannot be kept.
        """
        await self._report(Finish(id, source, reported(outcome), _text(result), attempt))

    async def _report(self, finish: Finish) -> None:
        await self._finish(finish)

    async def _finish(self, finish: Finish, repeated: bool = False) -> None:
        path, parameters = address(State.DONE, finish.source, finish.id), {}
        if finish.outcome is not Outcome.COMPLETED:
            parameters["outcome"] = str(finish.outcome)
        await self._move("POST", path, State.DONE, finish.attempt, repeated, params=parameters, data=finish.result)

    async def give_back(
        self,
        source: str,
        id: str,
        delay: float | None = None,
        result: Json | None = None,
        attempt: int | None = None,
        uncounted: bool = False,
    ) -> None:
        """Make an active job available again, after `delay` seconds or a rest that grows with each attempt.

        An `uncounted` attempt is none of those that the job may have, for it did not fail: it comes back at once,
        unless a delay is given.

        Raises:
            NotThere: it is not active.
            WrongAttempt: it is in another attempt than the one given.
        """
        path = address(State.ACTIVE, source, id)
        parameters = query(delay=delay, uncounted=1 if uncounted else None)
        await self._move("DELETE", path, State.AVAILABLE, attempt, params=parameters, data=_text(result))

    async def stop_all(self, source: str, reason: str | None = None) -> int:
        """Stop every available and active job of a source; return how many that were. The reason is kept with each."""
        stopped, result = 0, None if reason is None else json.dumps({"reason": reason})
        for state in (State.AVAILABLE, State.ACTIVE):
            parameters = {"state": state, "source": source, "limit": "1000"}
            while jobs := (await self._ask("GET", "/jobs", params=parameters)).json()["jobs"]:
                lines = "".join(finish_line(Finish(job["id"], source, Outcome.STOPPED, result)) for job in jobs)
                await self._ask("POST", address(State.DONE, source), data=lines, headers=NDJSON)
                stopped += len(jobs)
        return stopped

    async def _move(
        self, method: str, path: str, state: State, attempt: int | None, repeated: bool = False, **options: Any
    ) -> None:
        """Move a job to a state; one that is there already was moved by an earlier try whose answer was lost."""
        answer, again = await self._connection.send(method, path, headers={**JSON, **if_match(attempt)}, **options)
        repeated = repeated or again
        try:
            check(answer)
        except (NotThere, WrongAttempt) as error:
            if not repeated or error.state != state:
                raise


def _text(result: Json | None) -> str | None:
    return None if result is None else json_text(result)


def _new_id() -> str:
    # Here, for most commands make none, and what makes them is slow to import.
    from boss.model.ids import new_id

    return new_id()


def _batches(lines: Iterable[JobLine]) -> Iterator[list[JobLine]]:
    batch: list[JobLine] = []
    size = 0
    for line in lines:
        if batch and (len(batch) == MOST_LINES or size + len(line.document) > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line.document)
    if batch:
        yield batch


def _taken(line: str) -> tuple[Document, str]:
    """What stands before the document in a line of a take's answer, and the document to the letter."""
    # The line is {"id":…,"source":…,"attempt":…,"job":…}, and nothing before the document can have a quotation mark.
    # The document is parsed by who needs it: to most it is nothing but bytes.
    before, _, document = line.partition(',"job":')
    return json.loads(before + "}"), document[:-1]
