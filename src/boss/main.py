"""The composition root: one Boss process, from its first connection to its last response. Only this module joins all
parts.
"""

import asyncio
import ctypes
import gc
import logging
import resource
import signal
import socket
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import asyncpg
import uvloop

from boss import __version__
from boss.dispatch.converters import Converters
from boss.dispatch.dashboard import DashboardFeed
from boss.dispatch.dependents import check_forever
from boss.dispatch.dispatcher import Dispatcher
from boss.dispatch.ends import Ends
from boss.dispatch.handouts import Handouts
from boss.dispatch.history import History
from boss.dispatch.maintenance import count_minutes_forever, keep_cursors, maintain_forever
from boss.dispatch.moving import Moving
from boss.dispatch.notifications import NotificationListener
from boss.dispatch.queries import Queries
from boss.dispatch.scan_cursors import ScanCursors
from boss.dispatch.schedules import Schedules
from boss.dispatch.source_limits import SourceLimits
from boss.dispatch.taker import Taker
from boss.dispatch.tokens import Tokens
from boss.dispatch.wait_queue import WaitQueue
from boss.errors import DATABASE_AWAY, DatabaseAway, NoDatabase, StartError, WrongSetting
from boss.http.background import in_background
from boss.http.certificate import Certificate
from boss.http.connections import Connections
from boss.http.router import App
from boss.http.server import listening, listening_sockets
from boss.postgres.connection import connected
from boss.postgres.hosts import in_a_line
from boss.postgres.migrate import migrate
from boss.settings import Settings
from boss.telemetry import tracing

log = logging.getLogger("boss")

# How long requests under way may take to finish after a signal to stop.
_DRAIN_S = 10
_M_MMAP_THRESHOLD = -3  # malloc.h
_GARBAGE_INTERVAL_S = 60.0


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then drain and stop.

    Raises:
        StartError: Boss cannot start here.
    """
    if settings.tls_cert:
        # With TLS, SIGHUP reloads the certificate. Until Boss can do that, the signal must not end the start.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        # So that an error in the certificate is reported before the database starts, which takes a while.
        Certificate(settings).load()
    if settings.workers > 1:
        uvloop.run(_supervise(settings))
    else:
        run_process(settings)


def run_process(settings: Settings, *duties: Coroutine[None, None, None]) -> None:
    """Serve from this process, and run these duties in the background as soon as it serves.

    Raises:
        StartError: Boss cannot start here.
    """
    _allow_many_connections()
    try:
        tracing.start()
    except ModuleNotFoundError as error:
        raise StartError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but {error.name} is not installed; install boss-dispatcher[tracing]"
        ) from error
    uvloop.run(_serve(settings, duties))
    tracing.stop()


async def _supervise(settings: Settings) -> None:
    """Run as the parent of worker processes: own the embedded PostgreSQL, and first check that they can start."""
    # Imported here because a single process does not need it.
    from boss.http.workers import supervise

    stop = _stopped_by_signals(settings)
    async with AsyncExitStack() as parts:
        # Check the port first: a second Boss on it must not touch the database of the one that serves there.
        for each in await listening_sockets(replace(settings, workers=1)):
            each.close()
        url = settings.database
        if url is None:
            url = await parts.enter_async_context(_embedded(settings.data))
        needs_tokens = await _prepare(url)

        def tell() -> None:
            _tell_where(settings)
            _tell_who_is_served(settings, needs_tokens)

        await supervise(replace(settings, database=url), stop, tell)
    log.info("Boss has stopped")


def _allow_many_connections() -> None:
    """Raise the soft limit of open files, often 1,024, to the hard limit: each waiting taker is a connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Started(NamedTuple):
    """The parts that serve requests, and that have to drain at the end."""

    app: App
    dispatcher: Dispatcher
    ends: Ends
    feed: DashboardFeed
    tokens: Tokens


def _stopped_by_signals(settings: Settings) -> asyncio.Event:
    stop = asyncio.Event()
    numbers = [signal.SIGTERM, signal.SIGINT]
    # With TLS, SIGHUP reloads the certificate. Without TLS it means that the terminal was closed; nohup ignores it.
    if not settings.tls_cert and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _serve(settings: Settings, duties: Iterable[Coroutine[None, None, None]]) -> None:
    stop = _stopped_by_signals(settings)
    async with AsyncExitStack() as parts:
        sockets = await listening_sockets(settings)
        for each in sockets:
            parts.callback(each.close)
        if started := await _unless(stop, _start(settings, parts)):
            await _serve_until(stop, started, settings, sockets, duties)
    if settings.workers == 1:
        log.info("Boss has stopped")


async def _unless(stop: asyncio.Event, work: Coroutine[None, None, _Started]) -> _Started | None:
    """The result of the work; None when it was cancelled because of a signal to stop."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        log.info("told to stop while starting")
        working.cancel()
    try:
        return await working
    except asyncio.CancelledError:
        return None


async def _start(settings: Settings, parts: AsyncExitStack) -> _Started:
    """Build all parts, and start their duties; they last until `parts` is closed."""
    url = settings.database
    if url is None:
        url = await parts.enter_async_context(_embedded(settings.data))
    maintain_now, wait_queue, cursors = asyncio.Event(), WaitQueue(), ScanCursors()
    try:
        pool = await parts.enter_async_context(connected(url))
        await migrate(pool)
        tokens, limits = Tokens(pool, wait_queue.evict), SourceLimits(pool, settings.max_queue, maintain_now.set)
        await tokens.load()
        await limits.load()
    except DatabaseAway as error:
        raise _no_start(error) from error
    queries = Queries(pool, wait_queue, limits)
    ends = Ends(pool, queries, settings.max_waiting)
    listener = NotificationListener(url, wait_queue, ends.hear, maintain_now.set)
    taker = Taker(pool, wait_queue, Handouts(pool, cursors, limits), limits, listener.start, settings.max_waiting)
    converters = Converters(pool, wait_queue)
    duties = [
        converters.record_forever(),
        tokens.load_forever(),
        limits.load_forever(),
        maintain_forever(pool, wait_queue, limits, maintain_now),
        keep_cursors(pool, cursors),
        count_minutes_forever(pool),
        check_forever(pool),
        History(pool, settings.keep_done, limits.keeps).keep_forever(),
        listener.run(),
        _collect_garbage_forever(),
    ]
    for duty in duties:
        await parts.enter_async_context(in_background(duty))
    feed = DashboardFeed(queries)
    dispatcher = Dispatcher(pool, wait_queue, limits, taker, queries)
    if settings.workers > 1:
        await parts.enter_async_context(in_background(queries.measure_forever()))
    schedules, moving = Schedules(pool, dispatcher), Moving(pool, dispatcher, queries)
    app = App(dispatcher, queries, ends, converters, feed, tokens, schedules, moving, settings, __version__)
    return _Started(app, dispatcher, ends, feed, tokens)


def _no_start(error: DatabaseAway) -> StartError:
    cause = error.__cause__
    if isinstance(cause, asyncpg.LockNotAvailableError):
        return NoDatabase(
            f"somebody holds a lock on Boss's tables: {in_a_line(cause)}. Find out who, and start Boss again"
        )
    if str(error) != DATABASE_AWAY:
        return _not_reached(cause)(f"{error}. Is the URL right, and is PostgreSQL running?")
    said = in_a_line(cause or error) or "it stopped answering"
    return NoDatabase(f"the database went away while Boss was starting: {said}. Is PostgreSQL restarting?")


def _not_reached(cause: BaseException | None) -> type[StartError]:
    """The error for a PostgreSQL that was not reached. Where it or asyncpg blames the URL, waiting does not help."""
    while cause:
        if isinstance(cause, asyncpg.ClientConfigurationError | ValueError):
            return WrongSetting
        if isinstance(cause, asyncpg.InvalidAuthorizationSpecificationError | asyncpg.InvalidCatalogNameError):
            return StartError
        cause = cause.__cause__
    return NoDatabase


async def migrate_only(url: str) -> list[str]:
    """Bring the database to the schema that this Boss needs; return the names of the migrations applied.

    Raises:
        StartError: the migrations cannot be applied.
    """
    try:
        async with connected(url) as pool:
            return await migrate(pool)
    except DatabaseAway as error:
        raise _no_start(error) from error


async def _prepare(url: str) -> bool:
    """Bring the database to the schema that this Boss needs; return whether requests need a token.

    Raises:
        StartError: the migrations cannot be applied.
    """
    try:
        async with connected(url) as pool:
            await migrate(pool)
            tokens = Tokens(pool, lambda _: None)
            await tokens.load()
            return tokens.needed
    except DatabaseAway as error:
        raise _no_start(error) from error


async def _serve_until(
    stop: asyncio.Event,
    started: _Started,
    settings: Settings,
    sockets: Sequence[socket.socket],
    duties: Iterable[Coroutine[None, None, None]],
) -> None:
    _give_large_blocks_back()
    _tune_garbage_collection()
    connections = Connections(started.app.respond, started.tokens.is_valid, settings)
    async with listening(connections, settings, sockets), AsyncExitStack() as parts:
        if settings.workers == 1:
            _tell_where(settings)
            _tell_who_is_served(settings, started.tokens.needed)
        for duty in duties:
            await parts.enter_async_context(in_background(duty))
        await stop.wait()
        log.info("draining: requests under way are answered, new ones get 503")
        await _drain(started, connections)


def _tell_where(settings: Settings) -> None:
    # In a URL, an IPv6 address stands in brackets (RFC 3986, 3.2.2).
    host = f"[{settings.host}]" if ":" in settings.host else settings.host or "localhost"
    log.info("Boss serves on http%s://%s:%s", "s" if settings.tls_cert else "", host, settings.port)
    if settings.database is None:
        log.info("its data is in %s (--data or BOSS_DATA say where)", settings.data.resolve())


def _tell_who_is_served(settings: Settings, needs_tokens: bool) -> None:
    if needs_tokens:
        return
    first = "boss token create NAME --role admin makes the first one"
    if settings.open:
        log.warning("there are no tokens yet, so EVERYBODY who reaches this address may do everything; %s", first)
    else:
        log.info("there are no tokens yet, so this machine, and no other, may do everything; %s", first)


def _embedded(data: Path) -> AbstractAsyncContextManager[str]:
    # Imported here because users with their own database need not install another one.
    try:
        from boss.postgres.embedded import embedded_postgres
    except ModuleNotFoundError as error:
        raise StartError(
            f"the package {error.name} is not installed; "
            "install boss-dispatcher[embedded], or say where PostgreSQL is with --database"
        ) from error
    return embedded_postgres(data)


def _give_large_blocks_back() -> None:
    """Keep blocks of 128 KiB or more off the heap, so that the system gets them back as soon as they are freed.

    By itself, glibc raises this threshold to the largest block ever freed, up to 32 MiB, and a heap shrinks only at its
    end. After the connections of 40 readers of 7 MB each were aborted, 123 MB stayed in use; with this, 1 MB.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 128 * 1024)


def _tune_garbage_collection() -> None:
    """Collect garbage rarely: requests leave no cycles behind, and the search for them took a tenth of our time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _collect_garbage_forever() -> None:
    """Collect garbage once a minute, for the little that leaves cycles, and return free small blocks to the system."""
    while True:
        await asyncio.sleep(_GARBAGE_INTERVAL_S)
        gc.collect()
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


async def _drain(started: _Started, connections: Connections) -> None:
    started.app.drain()
    connections.drain()
    started.feed.close()
    started.ends.close()
    started.dispatcher.send_away()
    try:
        async with asyncio.timeout(_DRAIN_S):
            await connections.settle()
            await started.dispatcher.settle()
    except TimeoutError:
        log.warning("some requests did not finish in %s seconds; they are aborted", _DRAIN_S)
