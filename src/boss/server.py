"""One Boss process, from the first connection to the last answer: the only place that joins all the parts."""

import asyncio
import gc
import logging
import resource
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import uvloop
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from boss import tracing
from boss.database import connected
from boss.dispatcher import Dispatcher
from boss.errors import DatabaseAway, StartError
from boss.http import app
from boss.http.app import Gate
from boss.line import Line
from boss.listener import Listener
from boss.marks import Marks
from boss.migrate import migrate
from boss.settings import Settings
from boss.sweeper import count_minutes_forever, mark_forever, prune_forever, sweep_forever
from boss.watcher import Watcher

log = logging.getLogger("boss")

# How long requests under way may take to finish once we were told to stop, in seconds.
_DRAIN = 10
# How long Granian may then take to close its connections.
_CLOSE = 5
_BACKLOG = 4096
_HEADER_TIMEOUT = 30_000  # milliseconds
_LARGEST_HEADERS = 64 * 1024


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain and stop.

    Raises:
        StartError: Boss cannot start here.
    """
    _allow_many_connections()
    try:
        tracing.start()
    except ModuleNotFoundError as error:
        raise StartError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but {error.name} is not installed; pip install 'boss[tracing]'"
        ) from error
    uvloop.run(_serve(settings))
    tracing.stop()


def _allow_many_connections() -> None:
    """Raise the soft limit of open files, often 1,024, to the hard one: each waiting taker is a connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as parts:
        url = settings.database
        if url is None:
            url = await parts.enter_async_context(_embedded(settings.data))
        try:
            pool = await parts.enter_async_context(connected(url))
        except DatabaseAway as error:
            raise StartError(f"{error}. Is the URL right, and is PostgreSQL running?") from error
        await migrate(pool)
        sweep_now = asyncio.Event()
        line, marks = Line(), Marks()
        listener = Listener(url, line, sweep_now.set)
        dispatcher = Dispatcher(pool, line, marks, listener.start)
        await parts.enter_async_context(_in_background(sweep_forever(pool, line, sweep_now)))
        await parts.enter_async_context(_in_background(mark_forever(pool, marks)))
        await parts.enter_async_context(_in_background(count_minutes_forever(pool)))
        await parts.enter_async_context(_in_background(listener.run()))
        if settings.keep_done is not None:
            await parts.enter_async_context(_in_background(prune_forever(pool, settings.keep_done)))
        watcher = Watcher(pool)
        gate = app.create(dispatcher, watcher, settings)
        _tune_garbage_collection()
        async with _listening(gate, settings, stop):
            log.info("Boss serves on http://%s:%s", settings.host, settings.port)
            await stop.wait()
            log.info("draining: requests under way are answered, new ones get 503")
            await _drain(gate, dispatcher, watcher)
    log.info("Boss has stopped")


def _embedded(data: Path) -> AbstractAsyncContextManager[str]:
    # Here, for who has a database of their own need not install another.
    try:
        from boss.embedded import embedded_postgres
    except ModuleNotFoundError as error:
        raise StartError(
            f"the package {error.name} is not installed; "
            "pip install 'boss[embedded]', or say where PostgreSQL is with --database"
        ) from error
    return embedded_postgres(data)


def _tune_garbage_collection() -> None:
    """Collect rarely: requests leave no cycles behind, and looking for some took a tenth of our time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@asynccontextmanager
async def _in_background(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _listening(gate: Gate, settings: Settings, stop: asyncio.Event) -> AsyncIterator[None]:
    server = Server(
        gate,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGINL,
        websockets=False,
        backlog=_BACKLOG,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_TIMEOUT, max_buffer_size=_LARGEST_HEADERS),
        log_enabled=False,
    )
    await _check_port(settings)
    serving = asyncio.create_task(server.serve())
    try:
        await _accepting(settings)
        # Should Granian end by itself, so does Boss.
        serving.add_done_callback(lambda _: stop.set())
        yield
    finally:
        server.stop()  # type: ignore[no-untyped-call]
        try:
            await asyncio.wait_for(serving, _CLOSE)
        except TimeoutError:
            log.warning("some connections would not close in %s seconds; they are broken off", _CLOSE)


async def _check_port(settings: Settings) -> None:
    """Granian shares a port with whoever else shares it, and would get only some of the requests."""
    try:
        probe = await asyncio.get_running_loop().create_server(asyncio.Protocol, settings.host, settings.port)
    except OSError as error:
        raise StartError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; choose another with --port"
        ) from error
    probe.close()
    await probe.wait_closed()


async def _accepting(settings: Settings) -> None:
    """Return once connections are accepted."""
    while True:
        try:
            _, writer = await asyncio.open_connection(settings.host, settings.port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return


async def _drain(gate: Gate, dispatcher: Dispatcher, watcher: Watcher) -> None:
    gate.drain()
    watcher.close()
    dispatcher.send_away()
    try:
        async with asyncio.timeout(_DRAIN):
            await gate.empty.wait()
            await dispatcher.settle()
    except TimeoutError:
        log.warning("some requests did not finish in %s seconds; they are broken off", _DRAIN)
