"""Coalesced writes, the one idea of Boss: requests that arrive while a statement is under way wait for the
next one, and that one serves them all.

Nobody waits for a timer: when nothing is under way a request starts its statement at once, and a busy
coalescer forms batches by itself. An answer is given only after its statement has returned, so what the
statement committed is durable before anybody hears of it. No HTTP and no SQL here.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from boss.errors import BadInput

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Coalescer(Generic[Request, Answer]):
    """Gathers requests of one kind into statements, one under way at a time, on the event loop that it is made in.

    Args:
        statement: serves a batch: takes the requests in order of arrival and returns one answer for each,
            in the same order. An answer that is an exception is raised to its requester alone. When the
            statement itself raises `BadInput` nothing of it was done, and each half is tried by itself, until
            only the bad one fails; any other exception is raised to all of the batch.
        most: the weight at which a batch is full.
        weigh: the weight of a request; 1 when absent. A request heavier than `most` goes alone.
        key: when given, a batch holds no two requests with the same key: the later one waits for the next
            statement and so sees what the earlier one did.
        unclaimed: when given, it gets the answers for which nobody waits any more.
    """

    def __init__(
        self,
        statement: Callable[[Sequence[Request]], Awaitable[Sequence[Answer | Exception]]],
        *,
        most: int,
        weigh: Callable[[Request], int] | None = None,
        key: Callable[[Request], object] | None = None,
        unclaimed: Callable[[Answer], None] | None = None,
    ) -> None:
        self._statement = statement
        self._most = most
        self._weigh = weigh
        self._key = key
        self._unclaimed = unclaimed
        # Asked for once: in CPython 3.11 get_running_loop() is a system call.
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Request, asyncio.Future[Answer]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, request: Request) -> Answer:
        """Wait for the statement that serves this request and return its answer.

        When the caller is cancelled before the statement starts, the request is dropped from it; when it is cancelled
        later, the answer is unclaimed.
        """
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append((request, future))
        if self._running is None:
            self._running = self._loop.create_task(self._run())
        try:
            return await future
        except asyncio.CancelledError:
            # Cancelled after the answer was set, but before its turn to run came: the answer would be lost.
            if future.done() and not future.cancelled() and not future.exception():
                self._not_claimed(future.result())
            raise

    def _not_claimed(self, answer: Answer) -> None:
        if self._unclaimed:
            self._unclaimed(answer)

    async def settle(self) -> None:
        """Return once no statement is under way."""
        while self._running:
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        try:
            while batch := self._next_batch():
                await self._serve(batch)
        finally:
            self._running = None

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
        batch = [entry for entry in batch if not entry[1].done()]
        if not batch:
            return
        try:
            answers = await self._statement([request for request, _ in batch])
        except BadInput as error:
            if len(batch) == 1:
                self._settle(batch[0][1], error)
                return
            # Halves of halves: a bad one among 64 costs a dozen statements, each alone would cost 64.
            middle = len(batch) // 2
            await self._serve(batch[:middle])
            await self._serve(batch[middle:])
        except Exception as error:
            for _, future in batch:
                self._settle(future, error)
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                self._settle(future, answer)

    def _settle(self, future: "asyncio.Future[Answer]", answer: Answer | Exception) -> None:
        if isinstance(answer, Exception):
            if not future.done():
                future.set_exception(answer)
        elif future.done():
            self._not_claimed(answer)
        else:
            future.set_result(answer)
