"""The client's requests about jobs, over either kind of connection.

This module never waits by itself. async_client.py sends over a connection served by an event loop. The command line,
which must start fast, sends over one that blocks (once.py).
"""

import json
import math
import os
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from boss.client.answers import TIMEOUT_S, check
from boss.client.json_text import Document, Json, json_text
from boss.client.moving import MovingMany
from boss.client.requests import (
    JSON,
    NDJSON,
    address,
    if_match,
    query,
    reported,
    take_address,
)
from boss.errors import IdTaken, NoJob, NotCompleted, NotDone, NotThere, WrongAttempt
from boss.model.job import Finish, JobLine, Outcome, State

# How long one request waits for a job, in seconds; the server grants no more.
_POLL_S = 50
# The largest batch sent in one request, in bytes and in lines. The server accepts more.
MOST_BYTES, MOST_LINES = 4 * 1024 * 1024, 1000


class Handed(NamedTuple):
    """A job in the response to a take: its id, source and attempt; the document as text; the lease in seconds; and as
    text, what its last attempt left as a note, if anything.
    """

    job: Document
    text: str
    lease: int
    note: str | None = None


class Verbs(MovingMany):
    """Submit, take, check, finish, give back and stop jobs. Holding a taken job is up to the caller."""

    # The header with the name of this converter, if it has one.
    _named: Mapping[str, str] = {}

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
        timeout: int | None = None,  # noqa: ASYNC109 - the job's, not this call's
        expires: int | None = None,
        after: str | Sequence[str] = (),
        traceparent: str | None = None,
    ) -> str:
        """Submit a job; return its id.

        Args:
            source: the source, whose converters get the job.
            document: the job's document: a dict, or JSON text, which converters get unchanged.
            id: its id, unique for ever; generated when None.
            priority: jobs with a higher priority are handed out first; from -1000 to 1000.
            delay: the job is not handed out before so many seconds have passed.
            at: the job is not handed out before this time.
            attempts: the most attempts of the job; that of the source's rule, or else 25, when None.
            timeout: how many seconds each attempt may take, whatever its converter says; any time when None.
            expires: after how many seconds the job is abandoned if nobody has taken it; never when None.
            after: ids of jobs that must be completed before it is handed out; if one of them ends otherwise, it is
                stopped. It excludes `delay` and `at`.
            traceparent: the trace it belongs to, for its converter.

        Raises:
            IdTaken: a job with that id exists.
            BadInput: a value or the document is invalid.
            UnknownJobs: one of the jobs that it is to come after does not exist.
        """
        parameters = query(
            priority=priority or None,
            delay=delay,
            at=at and at.isoformat(),
            attempts=attempts,
            timeout=timeout,
            expires=expires,
            after=_joined(after),
        )
        # With an id the request is safe to retry: the server accepts the id once.
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
            # After a retry the id may come from an earlier try of this submit, whose response was lost.
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
        timeout: int | None = None,  # noqa: ASYNC109 - the job's, not this call's
        expires: int | None = None,
        after: str | Sequence[str] = (),
    ) -> AsyncIterator[tuple[int, int]]:
        """Submit any number of jobs, in constant memory; for the other arguments see `submit`.

        A line whose id belongs to a job already changes nothing. So after any error the same lines can be submitted
        again.

        Yields, after each request, the number of its lines and how many of them were new.

        Raises:
            BadInput: a name or a document is invalid; nothing of that request was stored.
        """
        parameters = query(
            ids="given",
            priority=priority or None,
            delay=delay,
            at=at and at.isoformat(),
            attempts=attempts,
            timeout=timeout,
            expires=expires,
            after=_joined(after),
        )
        for batch in _batches(lines):
            content = "".join(f'{{"id":{json.dumps(line.id)},"job":{line.document}}}\n' for line in batch)
            answer, repeated = await self._connection.send(
                "POST", address(State.AVAILABLE, source), params=parameters, data=content, headers=NDJSON
            )
            check(answer)
            # After a retry, lines that exist already may have been stored by an earlier try, whose response was lost.
            yield len(batch), len(batch) if repeated else answer.text.count('"status":201}')

    async def hand_out(
        self,
        limit: int,
        source: str | Sequence[str] | None,
        wait: float | None,
        lease: int | None,
        key: str | None = None,
    ) -> list[Handed]:
        """Take at least one and at most `limit` jobs, as they are in the response.

        With the key of an earlier take whose response was not received, these are the jobs of that take, if it got any.
        """
        path = take_address(source)
        until = None if wait is None else time.monotonic() + wait
        # A retry with the same key gets the jobs of the same take. So a lost response loses no job.
        headers = {"idempotency-key": key or os.urandom(16).hex(), "accept": NDJSON["content-type"], **self._named}
        while True:
            left = _POLL_S if until is None else max(0, min(_POLL_S, round(until - time.monotonic())))
            parameters = query(limit=limit, wait=left or None, lease=lease)
            try:
                answer = await self._ask("GET", path, params=parameters, headers=headers, seconds=left + TIMEOUT_S)
            except NoJob:
                if until is not None and time.monotonic() >= until - 0.5:
                    raise
            else:
                granted = int(answer.headers["boss-lease"])
                return [_handed(line, granted) for line in answer.text.split("\n")[:-1]]

    async def result(self, id: str, *, wait: float | None = None) -> Json | None:
        """Wait until a job is done; return its result, or None when it has none.

        Args:
            id: the job's id.
            wait: for how many seconds to wait; for ever when None.

        Raises:
            NotThere: there is no such job.
            NotDone: it is not done in time.
            NotCompleted: it failed, was stopped, or was abandoned.
        """
        job = await self.find(id, wait=wait)
        if job["state"] != State.DONE:
            raise NotDone(f"{id} is not done: it is {job['state']}")
        if job["outcome"] != Outcome.COMPLETED:
            raise NotCompleted(ended(job), job["outcome"], job["result"])
        result: Json | None = job["result"]
        return result

    async def find(self, id: str, *, wait: float | None = 0) -> Document:
        """The job with this id and all its properties. While it is available, `why` says why it was not taken yet.

        Args:
            id: the job's id.
            wait: for how many seconds to wait until it is done; for ever when None.

        Raises:
            NotThere: there is no such job.
        """
        until = None if wait is None else time.monotonic() + wait
        while True:
            left = _POLL_S if until is None else max(0, min(_POLL_S, math.ceil(until - time.monotonic())))
            path = f"/jobs/{quote(id, safe='')}"
            answer = await self._ask("GET", path, params=query(wait=left or None), seconds=left + TIMEOUT_S)
            job: Document = answer.json()
            if job["state"] == State.DONE or (until is not None and time.monotonic() >= until):
                return job

    async def check(self, source: str, id: str, attempt: int | None = None) -> None:
        """Send the heartbeat of an active job, which renews its lease.

        Raises:
            NotThere: the job is not active.
            WrongAttempt: the job is in another attempt than the given one.
        """
        await self._ask("HEAD", address(State.ACTIVE, source, id), headers=if_match(attempt))

    async def leave_note(self, source: str, id: str, note: Json, attempt: int | None = None) -> None:
        """Leave a note with an active job, in place of the one before, and renew its lease. The next attempt gets it.

        Args:
            source, id: the job.
            note: a dict, or JSON text of an object; at most 64 KiB.
            attempt: leave it only if the job is still in this attempt.

        Raises:
            NotThere: the job is not active.
            WrongAttempt: the job is in another attempt than the given one.
            BadInput: the note cannot be stored.
        """
        path, headers = address(State.ACTIVE, source, id), {**JSON, **if_match(attempt)}
        await self._ask("PUT", path, data=json_text(note), headers=headers)

    async def change(
        self,
        source: str,
        id: str,
        document: Json | None = None,
        *,
        priority: int | None = None,
        delay: float | None = None,
        at: datetime | None = None,
        timeout: int | None = None,  # noqa: ASYNC109 - the job's, not this call's
        expires: int | None = None,
        attempt: int | None = None,
    ) -> None:
        """Change an available job. What is None stays as it is.

        Args:
            source, id: the job.
            document: its new document.
            priority: its new priority.
            delay: it is not handed out before so many seconds have passed; 0 is at once.
            at: it is not handed out before this time.
            timeout: how many seconds each attempt may take from now on.
            expires: after how many seconds, from now on, it is abandoned if nobody has taken it.
            attempt: change it only if it is still in this attempt.

        Raises:
            NotThere: the job is not available.
            WrongAttempt: the job is in another attempt than the given one.
            BadInput: a value or the document is invalid, or there is nothing to change.
        """
        await self._ask(
            "PUT",
            address(State.AVAILABLE, source, id),
            params=query(priority=priority, delay=delay, at=at and at.isoformat(), timeout=timeout, expires=expires),
            data=_text(document),
            headers={**JSON, **if_match(attempt)},
        )

    async def done(
        self,
        source: str,
        id: str,
        result: Json | None = None,
        outcome: str = Outcome.COMPLETED,
        attempt: int | None = None,
    ) -> None:
        """Finish an available or active job as `completed`, `failed` or `stopped`.

        Raises:
            NotThere: the job is neither available nor active.
            WrongAttempt: the job is in another attempt than the given one.
            BadInput: the result cannot be stored.
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
    ) -> State:
        """Give an active job back for another attempt after `delay` seconds, by default a delay that grows each time.

        An `uncounted` attempt does not count towards the job's most attempts, because it did not fail. The job is then
        available again at once, unless a delay is given.

        Returns the job's state now: available; or done, failed, when this was its last attempt.

        Raises:
            NotThere: the job is not active.
            WrongAttempt: the job is in another attempt than the given one.
        """
        path = address(State.ACTIVE, source, id)
        parameters = query(delay=delay, uncounted=1 if uncounted else None)
        return await self._move("DELETE", path, State.AVAILABLE, attempt, params=parameters, data=_text(result))

    async def _move(
        self, method: str, path: str, state: State, attempt: int | None, repeated: bool = False, **options: Any
    ) -> State:
        """Move a job to a state; return the state it is in then.

        After a retry, a job that is in this state was moved by a try whose response was lost.
        """
        answer, again = await self._connection.send(method, path, headers={**JSON, **if_match(attempt)}, **options)
        repeated = repeated or again
        try:
            check(answer)
        except (NotThere, WrongAttempt) as error:
            if not repeated or error.state != state:
                raise
        return State(answer.headers.get("boss-state", state))


def _text(result: Json | None) -> str | None:
    return None if result is None else json_text(result)


def _new_id() -> str:
    # Imported here, because it is slow to import and most commands need no new id.
    from boss.model.ids import new_id

    return new_id()


def _joined(ids: str | Sequence[str]) -> str | None:
    """Ids as the query takes them. A single one, or several with commas between them, are as they are."""
    return (ids if isinstance(ids, str) else ",".join(ids)) or None


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


def _handed(line: str, lease: int) -> Handed:
    """The job in a line of a take's response, with its document and its note as unchanged text."""
    # The line is {"id":…,"source":…,"attempt":…,"note":…,"job":…}. No value before the note has a quotation mark, and a
    # note has a space after each comma between its values. The document is not parsed here, because most callers only
    # pass it on.
    before, _, document = line.partition(',"job":')
    before, _, note = before.partition(',"note":')
    return Handed(json.loads(before + "}"), document[:-1], lease, note or None)


def ended(job: Document) -> str:
    """How a job ended that did not complete, as a sentence."""
    how = {Outcome.FAILED: "failed", Outcome.STOPPED: "was stopped"}.get(job["outcome"], "was abandoned")
    result = job["result"] if isinstance(job["result"], dict) else {}
    why = result.get("error") or result.get("reason")
    return f"{job['id']} {how}: {why}" if why else f"{job['id']} {how}"
