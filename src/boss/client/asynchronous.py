"""A client of Boss for asyncio, over HTTP only; blocking.py is the same for code without async.

It retries what is safe to send again, for as long as its patience lasts, and raises what went wrong as an error of
errors.py.
"""

import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote

from boss.client.connection import TIMEOUT, Connection, check
from boss.client.taken import AsyncJob, Document
from boss.coalescer import Coalescer
from boss.errors import BadInput, BossError, IdTaken, NoJob, NotThere, WrongAttempt
from boss.job import REPORTED_OUTCOMES, Finish, Line, Outcome, State, new_id

# How long one request waits for a job, in seconds; the server grants no more.
_POLL = 50
_NDJSON = "application/x-ndjson"
# How much goes into one request of many lines, in bytes and in lines; the server takes more.
_MOST_BYTES, _MOST_LINES = 4 * 1024 * 1024, 1000


class AsyncClient:
    """A client of the Boss at a URL. Every method raises `Unreachable` when its patience has run out.

    Args:
        url: where Boss is; BOSS_URL in the environment, or this machine, when None.
        token: what is sent as `Authorization: Bearer`; BOSS_TOKEN in the environment when None.
        patience: for how many seconds a request is tried again while Boss or its database is away.
    """

    def __init__(self, url: str | None = None, *, token: str | None = None, patience: float = 60) -> None:
        self._connection = Connection(url, token, patience)
        self._ask = self._connection.ask
        self._finishes: dict[str, Coalescer[Finish, None]] = {}

    @property
    def url(self) -> str:
        """Where its Boss is."""
        return self._connection.url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()

    async def submit(
        self,
        source: str,
        document: Document,
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
            document: what they get.
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
        query = _query(priority=priority or None, delay=delay, at=at and at.isoformat(), attempts=attempts)
        # With an id it is safe to send again: the server takes it once.
        id = id or new_id()
        headers = {"traceparent": traceparent} if traceparent else {}
        answer, repeated = await self._connection.send(
            "POST", _address(State.AVAILABLE, source, id), params=query, json=document, headers=headers
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
        lines: Iterable[Line],
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
        query = _query(ids="given", priority=priority or None, delay=delay, at=at and at.isoformat(), attempts=attempts)
        for batch in _batches(lines):
            content = "".join(f'{{"id":{json.dumps(line.id)},"job":{line.document}}}\n' for line in batch)
            answer, repeated = await self._connection.send(
                "POST", _address(State.AVAILABLE, source), params=query, data=content, headers={"content-type": _NDJSON}
            )
            check(answer)
            # When an answer was lost, what is there by now may have been new then.
            yield len(batch), len(batch) if repeated else answer.text.count('"status":201}')

    @contextlib.asynccontextmanager
    async def take(
        self, source: str | None = None, *, wait: float | None = None, lease: int | None = None
    ) -> AsyncIterator[AsyncJob]:
        """Take a job, and hold it while the body of `async with` works on it.

        When the body ends the job is done, with `job.result`; when it raises, the job is given back with a rest. A
        `Lost` that `job.check()` raised ends the body and nothing else.

        Args:
            source: whose; any when None.
            wait: for how many seconds to wait for a job; for ever when None.
            lease: how many seconds the server waits for a check; the server's default when None.

        Raises:
            NoJob: none came in time.
        """
        async with await self.take_now(source, wait=wait, lease=lease) as job:
            yield job

    async def take_now(
        self, source: str | None = None, *, wait: float | None = None, lease: int | None = None
    ) -> AsyncJob:
        """As `take`, but it is for the caller to let go of the job, by `job.done()` or `job.give_back()`."""
        [job] = await self.take_many(1, source, wait=wait, lease=lease)
        return job

    async def take_many(
        self, limit: int, source: str | None = None, *, wait: float | None = None, lease: int | None = None
    ) -> list[AsyncJob]:
        """As `take_now`, for at least one and at most `limit` jobs."""
        path = _address(State.AVAILABLE, source)
        until = None if wait is None else time.monotonic() + wait
        # The same key again means the same take again: an answer that was lost on the way costs nothing.
        headers = {"idempotency-key": str(uuid.uuid4()), "accept": _NDJSON}
        while True:
            left = _POLL if until is None else max(0, min(_POLL, round(until - time.monotonic())))
            query = _query(limit=limit, wait=left or None, lease=lease)
            try:
                answer = await self._ask("GET", path, params=query, headers=headers, seconds=left + TIMEOUT)
            except NoJob:
                if until is not None and time.monotonic() >= until - 0.5:
                    raise
            else:
                granted = int(answer.headers["boss-lease"])
                return [AsyncJob(self, *_taken(line), granted) for line in answer.text.split("\n")[:-1]]

    async def check(self, source: str, id: str, attempt: int | None = None) -> None:
        """Check on an active job, which renews its lease.

        Raises:
            NotThere: it is not active.
            WrongAttempt: it is in another attempt than the one given.
        """
        await self._ask("HEAD", _address(State.ACTIVE, source, id), headers=_if_match(attempt))

    async def done(
        self,
        source: str,
        id: str,
        result: Document | None = None,
        outcome: str = Outcome.COMPLETED,
        attempt: int | None = None,
    ) -> None:
        """Move an available or active job to done, as `completed`, `failed` or `stopped`.

        Raises:
            NotThere: it is neither.
            WrongAttempt: it is in another attempt than the one given.
        """
        finish = Finish(id, source, _outcome(outcome), None if result is None else json.dumps(result), attempt)
        if source not in self._finishes:
            # Those that are told while a request is under way share the next one, as inside Boss.
            self._finishes[source] = Coalescer(
                self._finish_all,
                most=_MOST_BYTES,
                weigh=lambda finish: len(finish.result or "") + _MOST_BYTES // _MOST_LINES,
                key=lambda finish: finish.id,
            )
        await self._finishes[source](finish)

    async def _finish_all(self, finishes: Sequence[Finish]) -> list[Exception | None]:
        if len(finishes) == 1:
            await self._finish(finishes[0])
            return [None]
        lines = "".join(map(_finish_line, finishes))
        path, headers = _address(State.DONE, finishes[0].source), {"content-type": _NDJSON}
        answer, repeated = await self._connection.send("POST", path, data=lines, headers=headers)
        check(answer)
        done: list[Exception | None] = []
        for finish, line in zip(finishes, answer.text.split("\n")[:-1], strict=True):
            try:
                # What went otherwise is asked again, alone, for the answer says more than a status then.
                if json.loads(line)["status"] != 200:
                    await self._finish(finish, repeated)
                done.append(None)
            except BossError as error:
                done.append(error)
        return done

    async def _finish(self, finish: Finish, repeated: bool = False) -> None:
        path, query = _address(State.DONE, finish.source, finish.id), {}
        if finish.outcome is not Outcome.COMPLETED:
            query["outcome"] = str(finish.outcome)
        await self._move("POST", path, State.DONE, finish.attempt, repeated, params=query, data=finish.result)

    async def give_back(
        self,
        source: str,
        id: str,
        delay: float | None = None,
        result: Document | None = None,
        attempt: int | None = None,
    ) -> None:
        """Make an active job available again, after `delay` seconds or a rest that grows with each attempt.

        Raises:
            NotThere: it is not active.
            WrongAttempt: it is in another attempt than the one given.
        """
        path = _address(State.ACTIVE, source, id)
        await self._move("DELETE", path, State.AVAILABLE, attempt, params=_query(delay=delay), json=result)

    async def tree(self) -> dict[str, dict[str, int]]:
        """How many jobs there are of each state and source."""
        tree: dict[str, dict[str, int]] = (await self._ask("GET", "/job")).json()
        return tree

    async def drawn_tree(self) -> str:
        """The tree as the design draws it."""
        return (await self._ask("GET", "/job", headers={"accept": "text/plain"})).text

    async def health(self) -> Document:
        """What an examination of the server's database finds: `verdict`, and `findings` with one each."""
        health: Document = (await self._ask("GET", "/health")).json()
        return health

    async def stop_all(self, source: str, reason: str | None = None) -> int:
        """Stop every available and active job of a source; return how many that were. The reason is kept with each."""
        stopped, result = 0, None if reason is None else json.dumps({"reason": reason})
        for state in (State.AVAILABLE, State.ACTIVE):
            query = {"state": state, "source": source, "limit": "1000"}
            while jobs := (await self._ask("GET", "/jobs", params=query)).json()["jobs"]:
                lines = "".join(_finish_line(Finish(job["id"], source, Outcome.STOPPED, result)) for job in jobs)
                await self._ask("POST", _address(State.DONE, source), data=lines, headers={"content-type": _NDJSON})
                stopped += len(jobs)
        return stopped

    async def prune(self, older: float) -> tuple[int, bool]:
        """Delete jobs that were done more than `older` seconds ago; return how many, and whether there are more."""
        pruned = (await self._ask("DELETE", "/job/done", params={"older": f"{older:f}"})).json()
        return pruned["deleted"], pruned["more"]

    async def sources(self) -> list[Document]:
        """Every source, with its rule and how many jobs it has in each state."""
        sources: list[Document] = (await self._ask("GET", "/source")).json()["sources"]
        return sources

    async def set_rule(self, source: str, *, paused: bool = False, limit: int | None = None) -> None:
        """Hold a source to a rule, and to nothing else.

        Args:
            source: which.
            paused: whether none of its jobs is handed out.
            limit: how many of its jobs may be active at once; any number when None.
        """
        await self._ask("PUT", f"/source/{quote(source, safe='')}", json={"paused": paused, "limit": limit})

    async def create_token(
        self, name: str, role: str, *, sources: Sequence[str] | None = None, expires: float | None = None
    ) -> str:
        """Make a token, which nobody can ask for again.

        Args:
            name: what it is called wherever it says who did something.
            role: converter, submitter or admin.
            sources: the sources it is for; all when None.
            expires: for how many seconds it is good; for ever when None.

        Raises:
            NameTaken: there is or was one of that name.
            NeedsAdmin: it is the first one, and no admin's, or it would expire.
        """
        asked = {"role": role, "sources": sources, "expires": expires}
        answer = await self._ask("POST", f"/token/{quote(name, safe='')}", json=asked)
        token: str = answer.json()["token"]
        return token

    async def list_tokens(self) -> list[Document]:
        """Every token there is or was, by name: all that is known of it, which is not the token."""
        tokens: list[Document] = (await self._ask("GET", "/token")).json()["tokens"]
        return tokens

    async def revoke_token(self, name: str) -> None:
        """Let a token count no more, within a second on every replica.

        Raises:
            NoToken: there is none of that name.
            NeedsAdmin: it is the last one of an admin, or the last of those that are good for ever.
        """
        await self._ask("DELETE", f"/token/{quote(name, safe='')}")

    async def acts(self) -> AsyncIterator[Document]:
        """What administrators did that is not kept with a job, the newest first."""
        async for act in self._pages("/audit", "acts", {}):
            yield act

    async def jobs(self, *, state: str | None = None, source: str | None = None) -> AsyncIterator[Document]:
        """Every job with all its properties, the newest first, one page after the other."""
        async for job in self._pages("/jobs", "jobs", _query(state=state, source=source)):
            yield job

    async def _pages(self, address: str, what: str, query: dict[str, str]) -> AsyncIterator[Document]:
        while address:
            page = (await self._ask("GET", address, params=query)).json()
            query = {}
            for each in page[what]:
                yield each
            address = page["next"]

    async def _move(
        self, method: str, path: str, state: State, attempt: int | None, repeated: bool = False, **options: Any
    ) -> None:
        """Move a job to a state; one that is there already was moved by an earlier try whose answer was lost."""
        answer, again = await self._connection.send(method, path, headers=_if_match(attempt), **options)
        repeated = repeated or again
        try:
            check(answer)
        except (NotThere, WrongAttempt) as error:
            if not repeated or error.state != state:
                raise


def _address(state: State, *names: str | None) -> str:
    """The address of a state, of a source in it, or of a job."""
    # Whatever the names are, they stay in their part of the path; the server says what is wrong with them.
    return "/".join(("/job", state, *(quote(name, safe="") for name in names if name)))


def _batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    batch: list[Line] = []
    size = 0
    for line in lines:
        if batch and (len(batch) == _MOST_LINES or size + len(line.document) > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line.document)
    if batch:
        yield batch


def _query(**parameters: object) -> dict[str, str]:
    return {name: str(value) for name, value in parameters.items() if value is not None}


def _if_match(attempt: int | None) -> dict[str, str]:
    return {} if attempt is None else {"if-match": f'"{attempt}"'}


def _outcome(word: str) -> Outcome:
    if word not in REPORTED_OUTCOMES:
        raise BadInput(f"{word!a} is no outcome that can be reported: it is {', '.join(REPORTED_OUTCOMES)}")
    return Outcome(word)


def _taken(line: str) -> tuple[Document, str]:
    """A line of a take's answer, and in it the document to the letter."""
    # The line is {"id":…,"source":…,"attempt":…,"job":…}, and nothing before the document can have a quotation mark.
    return json.loads(line), line.partition('"job":')[2][:-1]


def _finish_line(finish: Finish) -> str:
    result = f',"result":{finish.result}' if finish.result else ""
    attempt = f',"attempt":{finish.attempt}' if finish.attempt is not None else ""
    return f'{{"id":{json.dumps(finish.id)},"outcome":"{finish.outcome}"{result}{attempt}}}\n'
