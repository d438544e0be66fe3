"""Run a function that is not `async` in a thread for each job."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from inspect import iscoroutinefunction
from typing import Any, cast

from boss.client.job import AsyncJob, Failure, JobEnd
from boss.client.json_text import Json, described
from boss.client.sync_job import Job

log = logging.getLogger("boss")

Convert = Callable[[AsyncJob], Awaitable[Json | None]]
_Ended = asyncio.Future[tuple[Json | None, BaseException | None]]


def as_coroutine(convert: Callable[[Job], Json | None] | Convert, patience: Callable[[], float]) -> Convert:
    """The function itself when it is `async`; otherwise a coroutine function that runs it in a thread.

    A thread cannot be ended from outside. When its work must end, it has `patience()` seconds to end by itself. Then it
    is abandoned, and the process can end without it. A thread whose job was lost is not abandoned: its slot waits for
    it, so that there are never more threads than slots.
    """
    if iscoroutinefunction(convert) or iscoroutinefunction(type(convert).__call__):
        return cast(Convert, convert)
    function = cast(Callable[[Job], Json | None], convert)

    async def in_thread(job: AsyncJob) -> Json | None:
        ended = _start(function, job)
        try:
            await asyncio.wait({ended})
        except asyncio.CancelledError:
            if job.end is JobEnd.LOST:
                await asyncio.wait({ended})
            elif job.stopped.is_set():
                await asyncio.wait({ended}, timeout=patience())
            if not ended.done():
                log.warning("%s/%s: its function has not ended, and is not waited for any more", job.source, job.id)
                raise
        result, error = ended.result()
        if error is None:
            return result
        if isinstance(error, Exception):
            raise error
        # An exception such as SystemExit must end only the function, in whose thread it was raised.
        raise Failure(described(error)) from error

    return in_thread


def _start(function: Callable[[Job], Json | None], job: AsyncJob) -> _Ended:
    """Run the function in a daemon thread, which does not keep the process from ending."""
    loop, context = asyncio.get_running_loop(), copy_context()
    ended: _Ended = loop.create_future()

    def run(method: Callable[..., Any], *given: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(method(*given), loop).result()

    def work() -> None:
        result, error = None, None
        try:
            result = context.run(function, Job(run, job))
        except BaseException as raised:
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_settle, ended, result, error)

    try:
        threading.Thread(target=work, name=f"boss-{job.id}", daemon=True).start()
    except RuntimeError as error:
        raise Failure(f"no thread could be started: {error}", uncounted=True) from error
    return ended


def _settle(ended: _Ended, result: Json | None, error: BaseException | None) -> None:
    if not ended.done():
        ended.set_result((result, error))
