"""Group commit, the one idea of Boss: requests that arrive while a statement is under way share the next one.

Nobody waits for a timer. When nothing is under way, a request starts its statement at once; under load, batches form
by themselves. A request gets its answer only after its statement has returned, so what the statement committed is
durable before anybody hears of it. No HTTP and no SQL here.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from boss.errors import BadInput

Request = TypeVar("Request")
Answer = TypeVar("Answer")


# A statement that takes longer than this waits for a slow disk or a lock, or has a full batch anyway: the other kinds
# go on without it. Measured where a commit takes 3 ms, at 64 connections: with strictly one statement at a time, half
# as many whole jobs a second; with this limit, almost as many as with one statement of each kind at a time. Where the
# disk is fast, PostgreSQL still does no more work than with one at a time.
_SLOW_S = 0.002


class Turns:
    """Lets the coalescers that share it take turns: one statement of all of them is under way at a time.

    The longer a coalescer waits for its turn, the fuller its batch is, and a statement costs PostgreSQL as much before
    its first row as for ten rows. A slow statement loses its turn: then only its own coalescer still waits for it.

    Args:
        slow: after how many seconds a statement loses its turn.
    """

    def __init__(self, slow: float = _SLOW_S) -> None:
        self._slow = slow
        # Kept, because get_running_loop() makes a system call in CPython 3.11.
        self.loop = asyncio.get_running_loop()
        self._next: deque[Coalescer[Any, Any]] = deque()
        # The task that serves the coalescers in turn; None while nobody waits. Tasks that lost their turn are still in
        # `_under_way`.
        self._server: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def join(self, coalescer: "Coalescer[Any, Any]") -> None:
        """Serve this coalescer when its turn comes."""
        self._next.append(coalescer)
        if self._server is None:
            self._start()

    async def settle(self) -> None:
        """Return once no statement is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _start(self) -> None:
        self._server = server = self.loop.create_task(self._serve())
        self._under_way.add(server)
        server.add_done_callback(self._under_way.discard)

    async def _serve(self) -> None:
        me = self._server
        assert me
        try:
            while self._next and self._server is me:
                coalescer = self._next.popleft()
                timer = self.loop.call_later(self._slow, self._pass_on, me)
                try:
                    await coalescer.serve()
                finally:
                    timer.cancel()
        finally:
            if self._server is me:
                self._server = None

    def _pass_on(self, slow: "asyncio.Task[None]") -> None:
        """Let a new task serve the other coalescers, unless that has happened."""
        if self._server is slow:
            self._server = None
            if self._next:
                self._start()


class Coalescer(Generic[Request, Answer]):
    """Gathers requests of one kind into batches, one statement at a time, on the event loop in which it was made.

    Args:
        statement: serves a batch. It gets the requests in order of arrival and returns one answer for each, in the same
            order. An answer that is an exception is raised to its requester alone. When the statement itself raises
            `BadInput`, nothing of it was done; the batch is then halved again and again until only the bad request
            fails. Any other exception is raised to the whole batch.
        most: the weight at which a batch is full.
        weigh: the weight of a request; 1 when absent. A request heavier than `most` goes alone.
        key: when given, no batch has two requests with the same key. The later one waits for the next statement, and so
            sees what the earlier one did.
        on_abandoned: when given, it is called with each answer that nobody waits for any more.
        turns: when shared with other coalescers, one statement of all of them is under way at a time.
    """

    def __init__(
        self,
        statement: Callable[[Sequence[Request]], Awaitable[Sequence[Answer | Exception]]],
        *,
        most: int,
        weigh: Callable[[Request], int] | None = None,
        key: Callable[[Request], object] | None = None,
        on_abandoned: Callable[[Answer], None] | None = None,
        turns: Turns | None = None,
    ) -> None:
        self._statement = statement
        self._most = most
        self._weigh = weigh
        self._key = key
        self._on_abandoned = on_abandoned
        self._turns = turns or Turns()
        self._loop = self._turns.loop
        self._waiting: deque[tuple[Request, asyncio.Future[Answer]]] = deque()
        # Whether this coalescer has its turn or waits for it.
        self._in_turn = False

    async def __call__(self, request: Request) -> Answer:
        """Wait for the statement that serves this request and return its answer.

        When the caller is cancelled before the statement starts, the request is dropped. When it is cancelled later,
        `on_abandoned` gets the answer.
        """
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append((request, future))
        if not self._in_turn:
            self._in_turn = True
            self._turns.join(self)
        try:
            return await future
        except asyncio.CancelledError:
            # The caller was cancelled after its answer was set, but before it could run: the answer would be lost.
            if future.done() and not future.cancelled() and not future.exception():
                self._abandon(future.result())
            raise

    def _abandon(self, answer: Answer) -> None:
        if self._on_abandoned:
            self._on_abandoned(answer)

    async def settle(self) -> None:
        """Return once no statement is under way, neither its own nor one of those it takes turns with."""
        await self._turns.settle()

    async def serve(self) -> None:
        """Serve one batch, and queue for another turn if more requests wait. Only `Turns` calls this."""
        try:
            if batch := self._next_batch():
                await self._serve(batch)
        finally:
            self._in_turn = bool(self._waiting)
            if self._in_turn:
                self._turns.join(self)

    def _next_batch(self) -> list[tuple[Request, "asyncio.Future[Answer]"]]:
        batch: list[tuple[Request, asyncio.Future[Answer]]] = []
        later: list[tuple[Request, asyncio.Future[Answer]]] = []
        keys: set[object] = set()
        weight = 0
        while self._waiting:
            request, future = self._waiting[0]
            if future.done():  # its caller was cancelled
                self._waiting.popleft()
                continue
            weight += self._weigh(request) if self._weigh else 1
            if batch and weight > self._most:
                break
            entry = self._waiting.popleft()
            if self._key and (key := self._key(request)) in keys:
                later.append(entry)
                continue
            if self._key:
                keys.add(key)
            batch.append(entry)
        self._waiting.extendleft(reversed(later))
        return batch

    async def _serve(self, batch: list[tuple[Request, "asyncio.Future[Answer]"]]) -> None:
        try:
            answers = await self._statement([request for request, _ in batch])
        except BadInput as error:
            if len(batch) == 1:
                self._settle(batch[0][1], error)
                return
            # Halve the batch: to find one bad request among 64 takes a dozen statements; one each would take 64.
            middle = len(batch) // 2
            for half in batch[:middle], batch[middle:]:
                if left := [entry for entry in half if not entry[1].done()]:
                    await self._serve(left)
        except Exception as error:
            for _, future in batch:
                self._settle(future, error)
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                if isinstance(answer, Exception) or future.done():
                    self._settle(future, answer)
                else:
                    future.set_result(answer)

    def _settle(self, future: "asyncio.Future[Answer]", answer: Answer | Exception) -> None:
        if not isinstance(answer, Exception):
            self._abandon(answer)
        elif not future.done():
            future.set_exception(answer)
