"""A client of Boss for asyncio, over HTTP only; sync_client.py is the same for code without async.

It retries what is safe to send again, for as long as its patience lasts, and raises what went wrong as an error of
errors.py.
"""

import asyncio
import contextlib
import logging
import os
import random
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from datetime import datetime
from typing import Any, Self

import httpx

from boss import errors
from boss.errors import PROBLEM_TYPE, BossError, IdTaken, Lost, NoJob, NotThere, Unreachable, WrongAttempt
from boss.job import Outcome, State, new_id
from boss.settings import DEFAULT_URL

log = logging.getLogger("boss")

# How long one request waits for a job, in seconds; the server grants no more.
_POLL = 50
# How long a server may take for anything else.
_TIMEOUT = 30.0
# The rests between tries grow from the one to the other, in seconds.
_SHORTEST_REST, _LONGEST_REST = 0.1, 10.0
# How much is kept of why an attempt failed, in characters.
_LONGEST_REASON = 2000
# How often a job without a lease is checked, to hear that it was stopped, in seconds.
_CHECK_WITHOUT_LEASE = 60.0
_ERRORS: dict[str, type[BossError]] = {
    kind.name: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BossError)
}

# What a proxy, or Boss itself, answers while there is nobody to answer: the same may be sent again.
_AWAY = (502, 503, 504)

Document = dict[str, Any]


class AsyncJob:
    """A job that this client has taken, checked in the background until it is let go of.

    Attributes:
        id, source: its names.
        document: what was submitted.
        text: the same as JSON text, to the letter.
        attempt: which take of the job this is, from 1.
        lease: how many seconds the server waits for a check; 0 for ever.
        result: what is kept with the job when it is done; set it before leaving.
        stopped: set when the job was stopped or lost: the work on it is for nothing.
    """

    def __init__(self, client: "AsyncClient", answer: httpx.Response) -> None:
        taken = answer.json()
        self.id: str = taken["id"]
        self.source: str = taken["source"]
        self.document: Document = taken["job"]
        # The answer is {"id":…,"source":…,"job":…}, and neither name can have a quotation mark.
        self.text = answer.text.partition('"job":')[2][:-1]
        self.attempt = int(answer.headers["etag"].strip('"'))
        self.lease = int(answer.headers["boss-lease"])
        self.result: Document | None = None
        self.stopped = asyncio.Event()
        self._client = client
        self._held = True
        self._checking = asyncio.create_task(self._check_forever())

    def check(self) -> None:
        """Raise `Lost` when the job was stopped or lost. It asks nobody: the background does."""
        if self.stopped.is_set():
            raise Lost(f"{self.id} was stopped, or its lease ran out and it is somebody else's by now")

    async def done(self, result: Document | None = None, outcome: str = Outcome.COMPLETED) -> None:
        """Say that it is done: `completed`, `failed` or `stopped`.

        Raises:
            Lost: it is not ours any more.
        """
        result = self.result if result is None else result
        await self._let_go(self._client.done(self.source, self.id, result, outcome, self.attempt))

    async def give_back(self, delay: float | None = None, result: Document | None = None) -> None:
        """Have somebody else try, after `delay` seconds, or a rest that grows with each attempt when None.

        Args:
            delay: 0 for at once.
            result: what this attempt leaves behind: why it failed, for instance.

        Raises:
            Lost: it is not ours any more.
        """
        await self._let_go(self._client.give_back(self.source, self.id, delay, result, self.attempt))

    async def _let_go(self, request: Coroutine[Any, Any, None]) -> None:
        self._checking.cancel()
        self._held = False
        try:
            await request
        except (NotThere, WrongAttempt) as error:
            self.stopped.set()
            raise Lost(str(error)) from error

    async def leave(self, error: BaseException | None) -> bool:
        """Let go of it as its work ended; return whether the error is dealt with."""
        if isinstance(error, Lost) and self.stopped.is_set():
            self._checking.cancel()
            return True
        if self._held:
            try:
                if error is None:
                    await self.done()
                elif isinstance(error, Exception):
                    await self.give_back(result={"error": keepable(f"{type(error).__name__}: {error}")})
                else:  # cancelled, or interrupted from the keyboard
                    await asyncio.shield(self.give_back(delay=0))
            except Lost as lost:
                log.warning("%s", lost)
        return False

    async def _check_forever(self) -> None:
        every = self.lease / 3 if self.lease else _CHECK_WITHOUT_LEASE
        while True:
            await asyncio.sleep(every)
            try:
                await self._client.check(self.source, self.id, self.attempt)
            except (NotThere, WrongAttempt):
                self.stopped.set()
                return
            except BossError as error:
                log.warning("%s could not be checked: %s", self.id, error)


class AsyncClient:
    """A client of the Boss at a URL. Every method raises `Unreachable` when its patience has run out.

    Args:
        url: where Boss is; BOSS_URL in the environment, or this machine, when None.
        token: what is sent as `Authorization: Bearer`; BOSS_TOKEN in the environment when None.
        patience: for how many seconds a request is tried again while Boss or its database is away.
    """

    def __init__(self, url: str | None = None, *, token: str | None = None, patience: float = 60) -> None:
        self.url = url or os.environ.get("BOSS_URL") or DEFAULT_URL
        token = token or os.environ.get("BOSS_TOKEN")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        try:
            self._http = httpx.AsyncClient(base_url=self.url, headers=headers, timeout=_TIMEOUT, limits=limits)
        except httpx.InvalidURL as error:
            raise self._no_url() from error
        self._patience = patience

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

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

        Raises:
            IdTaken: a job with that id exists.
            BadInput: a name or the document cannot be.
        """
        query = _query(priority=priority or None, delay=delay, at=at and at.isoformat(), attempts=attempts)
        # With an id it is safe to send again: the server takes it once.
        id = id or new_id()
        answer, repeated = await self._send("POST", f"/job/available/{source}/{id}", params=query, json=document)
        try:
            _check(answer)
        except IdTaken:
            # By an earlier try of this very submit, whose answer was lost.
            if not repeated:
                raise
        return id

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
        job = await self.take_now(source, wait=wait, lease=lease)
        try:
            yield job
        except BaseException as error:
            if not await job.leave(error):
                raise
        else:
            await job.leave(None)

    async def take_now(
        self, source: str | None = None, *, wait: float | None = None, lease: int | None = None
    ) -> AsyncJob:
        """As `take`, but it is for the caller to let go of the job, by `job.done()` or `job.give_back()`."""
        path = "/job/available" + (f"/{source}" if source else "")
        until = None if wait is None else time.monotonic() + wait
        # The same key again means the same take again: an answer that was lost on the way costs nothing.
        headers = {"idempotency-key": str(uuid.uuid4())}
        while True:
            left = _POLL if until is None else max(0, min(_POLL, round(until - time.monotonic())))
            query = _query(wait=left or None, lease=lease)
            try:
                answer = await self._ask("GET", path, params=query, headers=headers, timeout=left + _TIMEOUT)
                return AsyncJob(self, answer)
            except NoJob:
                if until is not None and time.monotonic() >= until - 0.5:
                    raise

    async def check(self, source: str, id: str, attempt: int | None = None) -> None:
        """Check on an active job, which renews its lease.

        Raises:
            NotThere: it is not active.
            WrongAttempt: it is in another attempt than the one given.
        """
        await self._ask("HEAD", f"/job/active/{source}/{id}", headers=_if_match(attempt))

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
        query = _query(outcome=None if outcome == Outcome.COMPLETED else outcome)
        await self._move("POST", f"/job/done/{source}/{id}", State.DONE, attempt, params=query, json=result)

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
        path = f"/job/active/{source}/{id}"
        await self._move("DELETE", path, State.AVAILABLE, attempt, params=_query(delay=delay), json=result)

    async def tree(self) -> dict[str, dict[str, int]]:
        """How many jobs there are of each state and source."""
        tree: dict[str, dict[str, int]] = (await self._ask("GET", "/job")).json()
        return tree

    async def drawn_tree(self) -> str:
        """The tree as the design draws it."""
        return (await self._ask("GET", "/job", headers={"accept": "text/plain"})).text

    async def stop_all(self, source: str) -> int:
        """Stop every available and active job of a source; return how many that were."""
        stopped = 0
        for state in (State.AVAILABLE, State.ACTIVE):
            path = str(httpx.URL("/jobs", params={"state": state, "source": source, "limit": "1000"}))
            while jobs := (await self._ask("GET", path)).json()["jobs"]:
                lines = "".join(f'{{"id":"{job["id"]}","outcome":"{Outcome.STOPPED}"}}\n' for job in jobs)
                headers = {"content-type": "application/x-ndjson"}
                await self._ask("POST", f"/job/done/{source}", content=lines, headers=headers)
                stopped += len(jobs)
        return stopped

    async def prune(self, older: float) -> tuple[int, bool]:
        """Delete jobs that were done more than `older` seconds ago; return how many, and whether there are more."""
        pruned = (await self._ask("DELETE", "/job/done", params={"older": f"{older:f}"})).json()
        return pruned["deleted"], pruned["more"]

    async def jobs(self, *, state: str | None = None, source: str | None = None) -> AsyncIterator[Document]:
        """Every job with all its properties, the newest first, one page after the other."""
        address: str | None = str(httpx.URL("/jobs", params=_query(state=state, source=source)))
        while address:
            page = (await self._ask("GET", address)).json()
            for job in page["jobs"]:
                yield job
            address = page["next"]

    async def _move(self, method: str, path: str, state: State, attempt: int | None, **options: Any) -> None:
        """Move a job to a state; one that is there already was moved by an earlier try whose answer was lost."""
        answer, repeated = await self._send(method, path, headers=_if_match(attempt), **options)
        try:
            _check(answer)
        except (NotThere, WrongAttempt) as error:
            if not repeated or error.state != state:
                raise

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request; return its answer when it is a good one.

        Raises:
            BossError: what the server answered instead.
        """
        answer, _ = await self._send(method, path, **options)
        _check(answer)
        return answer

    async def _send(self, method: str, path: str, **options: Any) -> tuple[httpx.Response, bool]:
        """Send a request that may be sent again, until it is answered.

        Returns the answer, and whether an earlier try may have been carried out: its answer was lost.
        """
        until, rest, repeated = time.monotonic() + self._patience, _SHORTEST_REST, False
        while True:
            try:
                answer = await self._http.request(method, path, **options)
            except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
                raise self._no_url() from error
            except httpx.ConnectError as error:
                lost: Exception | str = error
            except httpx.TransportError as error:
                lost, repeated = error, True
            else:
                if answer.status_code not in _AWAY:
                    return answer, repeated
                lost, repeated = f"it answers {answer.status_code}", True
            if rest == _SHORTEST_REST and self._patience:
                log.warning("no Boss answers at %s: %s; trying again", self.url, lost or type(lost).__name__)
            if time.monotonic() + rest > until:
                raise Unreachable(f"no Boss answers at {self.url}: {lost or type(lost).__name__}. Is it running there?")
            # Not all at the same moment, after a restart of Boss.
            await asyncio.sleep(rest * random.uniform(0.5, 1))  # noqa: S311 (nothing secret about it)
            rest = min(2 * rest, _LONGEST_REST)

    def _no_url(self) -> Unreachable:
        return Unreachable(f"{self.url!a} is no URL; it should look like {DEFAULT_URL}")


def keepable(text: str) -> str:
    """The end of a text, with a mark for each character that no result can have: NUL, and half of a pair."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")[-_LONGEST_REASON:]


def _query(**parameters: object) -> dict[str, str]:
    return {name: str(value) for name, value in parameters.items() if value is not None}


def _if_match(attempt: int | None) -> dict[str, str]:
    return {} if attempt is None else {"if-match": f'"{attempt}"'}


def _check(answer: httpx.Response) -> None:
    """Raise what the answer says went wrong, if it does.

    Only an answer with Boss-State, or a problem of Boss's, is about a job; any other came from something on the way.
    """
    if answer.is_success:
        return
    state = answer.headers.get("boss-state")
    state = None if state == "none" else state
    if answer.request.method == "HEAD" and "boss-state" in answer.headers:
        sentence = f"{answer.request.url.path} is {state or 'nowhere'}"
        raise NotThere(sentence, state) if answer.status_code == 404 else WrongAttempt(sentence, state or "")
    if answer.headers.get("content-type") != "application/problem+json" or not answer.content:
        raise Unreachable(f"{answer.request.url} answers {answer.status_code}. Is it a Boss?")
    problem = answer.json()
    sentence = problem["detail"]
    kind = _ERRORS.get(problem["type"].removeprefix(PROBLEM_TYPE), BossError)
    if issubclass(kind, NotThere | IdTaken):
        raise kind(sentence, state)
    raise WrongAttempt(sentence, state or "") if kind is WrongAttempt else kind(sentence)
