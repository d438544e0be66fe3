"""One Boss process, from the first connection to the last answer: the only place that joins all the parts."""

import asyncio
import gc
import logging
import resource
import signal
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import uvloop

from boss import tracing
from boss.background import in_background
from boss.database import connected
from boss.dispatcher import Dispatcher
from boss.errors import DatabaseAway, StartError
from boss.handouts import Handouts
from boss.http import app
from boss.http.app import Gate
from boss.line import Line
from boss.listener import Listener
from boss.listening import listening
from boss.marks import Marks
from boss.migrate import migrate
from boss.rules import Rules
from boss.settings import Settings
from boss.sweeper import count_minutes_forever, mark_forever, prune_forever, sweep_forever
from boss.taking import Taking
from boss.tokens import Tokens
from boss.watcher import Watcher

log = logging.getLogger("boss")

# How long requests under way may take to finish once we were told to stop, in seconds.
_DRAIN = 10
_GARBAGE_INTERVAL = 60.0  # seconds


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
            await migrate(pool)
        except DatabaseAway as error:
            raise StartError(f"{error}. Is the URL right, and is PostgreSQL running?") from error
        sweep_now = asyncio.Event()
        line, marks = Line(), Marks()
        tokens, rules = Tokens(pool, line.dismiss), Rules(pool, settings.max_queue, sweep_now.set)
        try:
            await tokens.load()
            await rules.load()
        except DatabaseAway as error:
            raise StartError("the database went away again; is PostgreSQL restarting?") from error
        listener = Listener(url, line, sweep_now.set)
        taking = Taking(pool, line, Handouts(pool, marks, rules), rules, listener.start, settings.max_waiting)
        dispatcher = Dispatcher(pool, line, rules, taking)
        await parts.enter_async_context(in_background(tokens.load_forever()))
        await parts.enter_async_context(in_background(rules.load_forever()))
        await parts.enter_async_context(in_background(sweep_forever(pool, line, rules, sweep_now)))
        await parts.enter_async_context(in_background(mark_forever(pool, marks)))
        await parts.enter_async_context(in_background(count_minutes_forever(pool)))
        await parts.enter_async_context(in_background(listener.run()))
        await parts.enter_async_context(in_background(_collect_garbage_forever()))
        if settings.keep_done is not None:
            await parts.enter_async_context(in_background(prune_forever(pool, settings.keep_done)))
        watcher = Watcher(pool)
        gate = app.create(dispatcher, watcher, tokens, settings)
        _tune_garbage_collection()
        async with listening(gate, settings, stop):
            log.info("Boss serves on http%s://%s:%s", "s" if settings.tls_cert else "", settings.host, settings.port)
            if not tokens.needed:
                _tell_who_is_served(settings)
            await stop.wait()
            log.info("draining: requests under way are answered, new ones get 503")
            await _drain(gate, dispatcher, watcher)
    log.info("Boss has stopped")


def _tell_who_is_served(settings: Settings) -> None:
    first = "boss token create NAME --role admin makes the first one"
    if settings.open:
        log.warning("there are no tokens yet, so EVERYBODY who reaches this address is served everything; %s", first)
    else:
        log.info("there are no tokens yet, so this machine, and no other, is served everything; %s", first)


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


async def _collect_garbage_forever() -> None:
    """Once a minute, for connections that break do leave cycles behind: memory grew by half a MiB a minute."""
    while True:
        await asyncio.sleep(_GARBAGE_INTERVAL)
        gc.collect()


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
