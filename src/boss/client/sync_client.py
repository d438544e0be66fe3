"""A client of Boss for code without async: it runs the client of async_client.py in a thread of its own.

So there is only one implementation, and the caller may block while that thread works.
"""

import contextlib
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import ParamSpec, Self, TypeVar, cast

from anyio.from_thread import start_blocking_portal

from boss.client.async_client import AsyncClient
from boss.client.json_text import Document, Json
from boss.client.sync_job import Job
from boss.model.job import JobLine, Outcome, State
from boss.model.schedule import Missed

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Client:
    """See `AsyncClient`. Close it, by `with` or by `close()`; otherwise it is closed when it is dropped, or at exit."""

    def __init__(self, url: str | None = None, *, token: str | None = None, patience: float = 60) -> None:
        self._client = AsyncClient(url, token=token, patience=patience)
        resources = contextlib.ExitStack()
        self._portal = resources.enter_context(start_blocking_portal())
        resources.callback(self._portal.call, self._client.close)
        # At exit this comes before the thread is frozen. Later, closing would wait for it for ever.
        self._close = weakref.finalize(self, resources.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """See `AsyncClient.url`."""
        return self._client.url

    def close(self) -> None:
        """Close the connections and end the thread."""
        self._close()

    def _run(self, method: Callable[_P, Awaitable[_T]], *given: _P.args, **named: _P.kwargs) -> _T:
        return self._portal.call(partial(method, *given, **named))

    def submit(
        self,
        source: str,
        document: Json,
        *,
        id: str | None = None,
        priority: int = 0,
        delay: float | None = None,
        at: datetime | None = None,
        attempts: int | None = None,
        timeout: int | None = None,
        expires: int | None = None,
        after: str | Sequence[str] = (),
        traceparent: str | None = None,
    ) -> str:
        """See `AsyncClient.submit`."""
        return self._run(
            self._client.submit,
            source,
            document,
            id=id,
            priority=priority,
            delay=delay,
            at=at,
            attempts=attempts,
            timeout=timeout,
            expires=expires,
            after=after,
            traceparent=traceparent,
        )

    def submit_lines(
        self,
        source: str,
        lines: Iterable[JobLine],
        *,
        priority: int = 0,
        delay: float | None = None,
        at: datetime | None = None,
        attempts: int | None = None,
        timeout: int | None = None,
        expires: int | None = None,
        after: str | Sequence[str] = (),
    ) -> Iterator[tuple[int, int]]:
        """See `AsyncClient.submit_lines`."""
        return self._each(
            self._client.submit_lines(
                source,
                lines,
                priority=priority,
                delay=delay,
                at=at,
                attempts=attempts,
                timeout=timeout,
                expires=expires,
                after=after,
            )
        )

    @contextlib.contextmanager
    def take(
        self, source: str | Sequence[str] | None = None, *, wait: float | None = None, lease: int | None = None
    ) -> Iterator[Job]:
        """See `AsyncClient.take`."""
        with self.take_now(source, wait=wait, lease=lease) as job:
            yield job

    def take_now(
        self, source: str | Sequence[str] | None = None, *, wait: float | None = None, lease: int | None = None
    ) -> Job:
        """See `AsyncClient.take_now`."""
        return Job(self._run, self._run(self._client.take_now, source, wait=wait, lease=lease))

    def take_many(
        self,
        limit: int,
        source: str | Sequence[str] | None = None,
        *,
        wait: float | None = None,
        lease: int | None = None,
    ) -> list[Job]:
        """See `AsyncClient.take_many`."""
        jobs = self._run(self._client.take_many, limit, source, wait=wait, lease=lease)
        return [Job(self._run, job) for job in jobs]

    def check(self, source: str, id: str, attempt: int | None = None) -> None:
        """See `AsyncClient.check`."""
        self._run(self._client.check, source, id, attempt)

    def leave_note(self, source: str, id: str, note: Json, attempt: int | None = None) -> None:
        """See `AsyncClient.leave_note`."""
        self._run(self._client.leave_note, source, id, note, attempt)

    def change(
        self,
        source: str,
        id: str,
        document: Json | None = None,
        *,
        priority: int | None = None,
        delay: float | None = None,
        at: datetime | None = None,
        timeout: int | None = None,
        expires: int | None = None,
        attempt: int | None = None,
    ) -> None:
        """See `AsyncClient.change`."""
        self._run(
            self._client.change,
            source,
            id,
            document,
            priority=priority,
            delay=delay,
            at=at,
            timeout=timeout,
            expires=expires,
            attempt=attempt,
        )

    def done(
        self,
        source: str,
        id: str,
        result: Json | None = None,
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
        result: Json | None = None,
        attempt: int | None = None,
        uncounted: bool = False,
    ) -> State:
        """See `AsyncClient.give_back`."""
        return self._run(self._client.give_back, source, id, delay, result, attempt, uncounted)

    def tree(self) -> dict[str, dict[str, int]]:
        """See `AsyncClient.tree`."""
        return self._run(self._client.tree)

    def drawn_tree(self) -> str:
        """See `AsyncClient.drawn_tree`."""
        return self._run(self._client.drawn_tree)

    def health(self) -> Document:
        """See `AsyncClient.health`."""
        return self._run(self._client.health)

    def redo(self, source: str, id: str, document: Json | None = None, attempt: int | None = None) -> None:
        """See `AsyncClient.redo`."""
        self._run(self._client.redo, source, id, document, attempt)

    def redo_many(
        self,
        source: str,
        *,
        outcome: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> tuple[int, bool]:
        """See `AsyncClient.redo_many`."""
        return self._run(
            self._client.redo_many, source, outcome=outcome, since=since, until=until, reason=reason, dry_run=dry_run
        )

    def stop_many(
        self,
        source: str,
        state: str,
        reason: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        dry_run: bool = False,
    ) -> tuple[int, bool]:
        """See `AsyncClient.stop_many`."""
        return self._run(self._client.stop_many, source, state, reason, since=since, until=until, dry_run=dry_run)

    def stop_all(self, source: str, reason: str | None = None) -> int:
        """See `AsyncClient.stop_all`."""
        return self._run(self._client.stop_all, source, reason)

    def delete(self, source: str, id: str) -> None:
        """See `AsyncClient.delete`."""
        self._run(self._client.delete, source, id)

    def delete_many(
        self,
        source: str,
        *,
        outcome: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> tuple[int, bool]:
        """See `AsyncClient.delete_many`."""
        return self._run(
            self._client.delete_many, source, outcome=outcome, since=since, until=until, reason=reason, dry_run=dry_run
        )

    def delete_source(self, source: str) -> None:
        """See `AsyncClient.delete_source`."""
        self._run(self._client.delete_source, source)

    def sources(self) -> list[Document]:
        """See `AsyncClient.sources`."""
        return self._run(self._client.sources)

    def source(self, name: str) -> tuple[Document, str]:
        """See `AsyncClient.source`."""
        return self._run(self._client.source, name)

    def set_rule(
        self,
        source: str,
        *,
        paused: bool = False,
        limit: int | None = None,
        attempts: int | None = None,
        delays: Sequence[float] | None = None,
        lease: int | None = None,
        timeout: int | None = None,
        rate: float | None = None,
        keep_done: float | None = None,
        version: str | None = None,
    ) -> None:
        """See `AsyncClient.set_rule`."""
        self._run(
            self._client.set_rule,
            source,
            paused=paused,
            limit=limit,
            attempts=attempts,
            delays=delays,
            lease=lease,
            timeout=timeout,
            rate=rate,
            keep_done=keep_done,
            version=version,
        )

    def converters(self) -> list[Document]:
        """See `AsyncClient.converters`."""
        return self._run(self._client.converters)

    def schedules(self) -> list[Document]:
        """See `AsyncClient.schedules`."""
        return self._run(self._client.schedules)

    def schedule(self, name: str) -> Document:
        """See `AsyncClient.schedule`."""
        return self._run(self._client.schedule, name)

    def set_schedule(
        self,
        name: str,
        source: str,
        cron: str,
        document: Json,
        *,
        zone: str = "UTC",
        missed: str = Missed.RUN_ONCE,
        paused: bool = False,
    ) -> Document:
        """See `AsyncClient.set_schedule`."""
        return self._run(
            self._client.set_schedule, name, source, cron, document, zone=zone, missed=missed, paused=paused
        )

    def run_schedule(self, name: str) -> str:
        """See `AsyncClient.run_schedule`."""
        return self._run(self._client.run_schedule, name)

    def delete_schedule(self, name: str) -> None:
        """See `AsyncClient.delete_schedule`."""
        self._run(self._client.delete_schedule, name)

    def create_token(
        self, name: str, role: str, *, sources: Sequence[str] | None = None, expires: float | None = None
    ) -> str:
        """See `AsyncClient.create_token`."""
        return self._run(self._client.create_token, name, role, sources=sources, expires=expires)

    def list_tokens(self) -> list[Document]:
        """See `AsyncClient.list_tokens`."""
        return self._run(self._client.list_tokens)

    def revoke_token(self, name: str) -> None:
        """See `AsyncClient.revoke_token`."""
        self._run(self._client.revoke_token, name)

    def acts(self) -> Iterator[Document]:
        """See `AsyncClient.acts`."""
        return self._each(self._client.acts())

    def prune(self, older: float) -> tuple[int, bool]:
        """See `AsyncClient.prune`."""
        return self._run(self._client.prune, older)

    def prunable(self, older: float) -> tuple[int, bool]:
        """See `AsyncClient.prunable`."""
        return self._run(self._client.prunable, older)

    def jobs(
        self,
        *,
        state: str | None = None,
        source: str | None = None,
        outcome: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        reason: str | None = None,
    ) -> Iterator[Document]:
        """See `AsyncClient.jobs`."""
        return self._each(
            self._client.jobs(state=state, source=source, outcome=outcome, since=since, until=until, reason=reason)
        )

    def find(self, id: str, *, wait: float | None = 0) -> Document:
        """See `AsyncClient.find`."""
        return self._run(self._client.find, id, wait=wait)

    def result(self, id: str, *, wait: float | None = None) -> Json | None:
        """See `AsyncClient.result`."""
        return self._run(self._client.result, id, wait=wait)

    def _each(self, many: AsyncIterator[_T]) -> Iterator[_T]:
        over = object()
        while (one := self._run(anext, many, over)) is not over:
            yield cast(_T, one)
