"""The connections of one Boss: Granian listens, with TLS if asked to, and takes a renewed certificate up by itself."""

import asyncio
import errno
import logging
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from granian.constants import Interfaces
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server.embed import Server
from starlette.types import ASGIApp

from boss.background import in_background
from boss.errors import StartError, WrongSetting
from boss.mute import end_mute_forever
from boss.settings import Settings

log = logging.getLogger("boss")

_BACKLOG = 4096
# How long Granian may take to close its connections, in seconds.
_CLOSE = 5
# How long somebody may be connected without having said anything, in seconds, unless it is less between requests.
_MUTE = 30.0
# How often it is looked whether there is a new certificate, in seconds.
_CERTIFICATE_INTERVAL = 1.0


@asynccontextmanager
async def listening(application: ASGIApp, settings: Settings, stop: asyncio.Event) -> AsyncIterator[None]:
    """Serve the application; `stop` is set should that end by itself.

    Raises:
        StartError: the address cannot be listened on, or the certificate cannot be used.
    """
    _check_certificate(settings)
    await _check_port(settings)
    listener = _Listener(application, settings, stop)
    await listener.open()
    try:
        async with (
            in_background(listener.renew_forever()),
            in_background(end_mute_forever(settings.port, min(_MUTE, settings.header_timeout))),
        ):
            yield
    finally:
        await listener.close()


class _Listener:
    """One Granian, or for a moment two, of which the one has the old certificate and the other the new one."""

    def __init__(self, application: ASGIApp, settings: Settings, stop: asyncio.Event) -> None:
        self._application = application
        self._settings = settings
        self._stop = stop
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Accept connections from now on."""
        settings = self._settings
        server = Server(
            self._application,
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGINL,
            websockets=False,
            backlog=_BACKLOG,
            # So many connections at once; further ones wait in the backlog until one of these ends.
            backpressure=settings.max_connections,
            http1_settings=HTTP1Settings(
                header_read_timeout=int(settings.header_timeout * 1000), max_buffer_size=settings.max_headers
            ),
            http2_settings=HTTP2Settings(
                max_headers_size=settings.max_headers,
                # A connection that says nothing is asked whether anybody is there.
                keep_alive_interval=int(settings.header_timeout * 1000),
            ),
            ssl_cert=settings.tls_cert,
            ssl_key=settings.tls_key,
            log_enabled=False,
        )
        serving = asyncio.create_task(server.serve())
        await _accepting(settings)
        serving.add_done_callback(self._ended)
        self._server, self._serving = server, serving

    def _ended(self, serving: "asyncio.Task[None]") -> None:
        # Should Granian end by itself, so does Boss.
        if serving is self._serving:
            self._stop.set()

    async def close(self) -> None:
        """Accept no more connections, and close those that there are."""
        if self._server and self._serving:
            await _close(self._server, self._serving)

    async def renew_forever(self) -> None:
        """Until cancelled: when the certificate's files have changed, or on SIGHUP, serve with the new one.

        Whoever is connected goes on with the old one.
        """
        if not self._settings.tls_cert:
            return
        asked = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
        seen = _changed_at(self._settings)
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), _CERTIFICATE_INTERVAL)
            now = _changed_at(self._settings)
            if now == seen and not asked.is_set():
                continue
            asked.clear()
            try:
                _check_certificate(self._settings)
            except StartError as error:
                # Half of it may have been written; the next look sees the rest.
                log.warning("the old certificate goes on: %s", error)
                continue
            seen = now
            await self._renew()
            log.info("new connections get the new certificate")

    async def _renew(self) -> None:
        # They share the port, so that at no moment nobody listens.
        old = self._server, self._serving
        await self.open()
        if old[0] and old[1]:
            await _close(old[0], old[1])


async def _close(server: Server, serving: "asyncio.Task[None]") -> None:
    server.stop()  # type: ignore[no-untyped-call]
    try:
        await asyncio.wait_for(serving, _CLOSE)
    except TimeoutError:
        log.warning("some connections would not close in %s seconds; they are broken off", _CLOSE)


def _files(settings: Settings) -> list[Path]:
    return [file for file in (settings.tls_cert, settings.tls_key) if file]


def _changed_at(settings: Settings) -> list[int]:
    """What changes when the files do; Kubernetes changes a link in their path."""
    try:
        return [number for file in _files(settings) for number in (file.stat().st_mtime_ns, file.stat().st_ino)]
    except OSError:
        return []


def _check_certificate(settings: Settings) -> None:
    if settings.tls_cert and settings.tls_key:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_cert, settings.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise WrongSetting(
                f"{settings.tls_cert} and {settings.tls_key} are no certificate with its key: {error}"
            ) from error


async def _check_port(settings: Settings) -> None:
    """Granian shares a port with whoever else shares it, and would get only some of the requests."""
    try:
        probe = await asyncio.get_running_loop().create_server(asyncio.Protocol, settings.host, settings.port)
    except OSError as error:
        # A negative number is one of getaddrinfo's, which says it in words by itself.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        # An address that no machine, or not this one, has.
        kind = WrongSetting if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else StartError
        raise kind(
            f"cannot listen on {settings.host} port {settings.port}: {why}; choose another with --host or --port"
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
