"""A client of Boss for code without async: client.py, run in a thread of its own.

So there is one design, and jobs are checked in that thread while the caller works.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from functools import partial
from typing import ParamSpec, Self, TypeVar

from anyio.from_thread import start_blocking_portal

from boss.client import AsyncClient, AsyncJob, Document
from boss.job import Outcome

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Job:
    """A job that this client has taken, checked in the background; see `AsyncJob`."""

    def __init__(self, client: "Client", job: AsyncJob) -> None:
        self._client = client
        self._job = job
        self.id, self.source, self.document = job.id, job.source, job.document
        self.attempt, self.lease = job.attempt, job.lease
        self.result: Document | None = None

    @property
    def stopped(self) -> bool:
        """Whether the job was stopped or lost: the work on it is for nothing."""
        return self._job.stopped.is_set()

    def check(self) -> None:
        """Raise `Lost` when the job was stopped or lost. It asks nobody: the background does."""
        self._job.check()

    def done(self, result: Document | None = None, outcome: str = Outcome.COMPLETED) -> None:
        """See `AsyncJob.done`."""
        self._client._run(self._job.done, result or self.result, outcome)

    def give_back(self, delay: float | None = None, result: Document | None = None) -> None:
        """See `AsyncJob.give_back`."""
        self._client._run(self._job.give_back, delay, result)

    def leave(self, error: BaseException | None) -> bool:
        """See `AsyncJob.leave`."""
        self._job.result = self.result
        return self._client._run(self._job.leave, error)


class Client:
    """See `AsyncClient`. It is to be closed, by `with` or by `close()`."""

    def __init__(self, url: str | None = None, *, token: str | None = None, patience: float = 60) -> None:
        self._open = contextlib.ExitStack()
        self._portal = self._open.enter_context(start_blocking_portal())
        self._client = self._portal.call(partial(AsyncClient, url, token=token, patience=patience))
        self._open.callback(self._run, self._client.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread."""
        self._open.close()

    def _run(self, method: Callable[_P, Awaitable[_T]], *given: _P.args, **named: _P.kwargs) -> _T:
        return self._portal.call(partial(method, *given, **named))

    def submit(
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
        """See `AsyncClient.submit`."""
        return self._run(
            self._client.submit, source, document, id=id, priority=priority, delay=delay, at=at, attempts=attempts
        )

    @contextlib.contextmanager
    def take(self, source: str | None = None, *, wait: float | None = None, lease: int | None = None) -> Iterator[Job]:
        """See `AsyncClient.take`."""
        job = self.take_now(source, wait=wait, lease=lease)
        try:
            yield job
        except BaseException as error:
            if not job.leave(error):
                raise
        else:
            job.leave(None)

    def take_now(self, source: str | None = None, *, wait: float | None = None, lease: int | None = None) -> Job:
        """See `AsyncClient.take_now`."""
        return Job(self, self._run(self._client.take_now, source, wait=wait, lease=lease))

    def check(self, source: str, id: str, attempt: int | None = None) -> None:
        """See `AsyncClient.check`."""
        self._run(self._client.check, source, id, attempt)

    def done(
        self,
        source: str,
        id: str,
        result: Document | None = None,
        outcome: str = Outcome.COMPLETED,
        attempt: int | None = None,
    ) -> None:
        """See `AsyncClient.done`."""
        self._run(self._client.done, source, id, result, outcome, attempt)

    def give_back(
        self,
        source: str,
        id: str,
        delay: float | None = None,
        result: Document | None = None,
        attempt: int | None = None,
    ) -> None:
        """See `AsyncClient.give_back`."""
        self._run(self._client.give_back, source, id, delay, result, attempt)

    def tree(self) -> dict[str, dict[str, int]]:
        """See `AsyncClient.tree`."""
        return self._run(self._client.tree)

    def drawn_tree(self) -> str:
        """See `AsyncClient.drawn_tree`."""
        return self._run(self._client.drawn_tree)

    def stop_all(self, source: str) -> int:
        """See `AsyncClient.stop_all`."""
        return self._run(self._client.stop_all, source)

    def prune(self, older: float) -> tuple[int, bool]:
        """See `AsyncClient.prune`."""
        return self._run(self._client.prune, older)

    def jobs(self, *, state: str | None = None, source: str | None = None) -> Iterator[Document]:
        """See `AsyncClient.jobs`."""
        pages = self._client.jobs(state=state, source=source)
        while (job := self._run(anext, pages, None)) is not None:
            yield job
