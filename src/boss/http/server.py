"""The sockets that Boss listens on, and TLS, with a certificate that is renewed while it runs."""

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

from boss.background import in_background
from boss.errors import StartError, WrongSetting
from boss.http.connection import Connection
from boss.http.connections import Connections
from boss.settings import Settings

log = logging.getLogger("boss")

_BACKLOG = 4096
# How long clients may take to read the last responses, in seconds.
_CLOSE_S = 5.0
_HANDSHAKE_TIMEOUT_S = 10.0
# How often it is looked whether there is a new certificate, in seconds.
_CERTIFICATE_INTERVAL_S = 1.0


@asynccontextmanager
async def listening(connections: Connections, settings: Settings) -> AsyncIterator[asyncio.Server]:
    """Accept connections until the block is left; close the server that it gives to accept no more of them.

    Raises:
        StartError: the address cannot be listened on, or the certificate cannot be used.
    """
    certificate = _Certificate(settings)
    if settings.tls_cert:
        certificate.load()
        connections.handshake = certificate.handshake
    server = await _listen(connections, settings)
    async with in_background(certificate.renew_forever()):
        try:
            yield server
        finally:
            server.close()
            if not await connections.close(_CLOSE_S):
                log.warning("some responses were not read in %s seconds; they are broken off", _CLOSE_S)


async def _listen(connections: Connections, settings: Settings) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(lambda: Connection(connections), settings.host, settings.port, backlog=_BACKLOG)
    except OSError as error:
        # A negative number is one of getaddrinfo's, which says it in words by itself.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        # An address that no machine, or not this one, has.
        kind = WrongSetting if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else StartError
        raise kind(
            f"cannot listen on {settings.host} port {settings.port}: {why}; choose another with --host or --port"
        ) from error


class _Certificate:
    """The certificate that new connections get."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._context: ssl.SSLContext | None = None
        self._handshakes: set[asyncio.Task[None]] = set()

    def load(self) -> None:
        """Read it from its files.

        Raises:
            WrongSetting: they are no certificate with its key.
        """
        cert, key = self._settings.tls_cert, self._settings.tls_key
        assert cert
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as error:
            raise WrongSetting(f"{cert} and {key} are no certificate with its key: {error}") from error
        self._context = context

    def handshake(self, connection: Connection) -> None:
        """Start TLS on a new connection."""
        # What comes before the handshake begins belongs to it.
        connection.transport.pause_reading()
        task = asyncio.get_running_loop().create_task(self._handshake(connection))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _handshake(self, connection: Connection) -> None:
        assert self._context
        try:
            transport = await asyncio.get_running_loop().start_tls(
                connection.transport,
                connection,
                self._context,
                server_side=True,
                ssl_handshake_timeout=_HANDSHAKE_TIMEOUT_S,
            )
        except (OSError, ssl.SSLError):
            connection.abort()
            return
        if transport is None:  # it was lost meanwhile
            connection.abort()
        else:
            connection.open(transport)

    async def renew_forever(self) -> None:
        """Until cancelled: when the certificate's files have changed, or on SIGHUP, use the new one from then on.

        Whoever is connected goes on with the old one.
        """
        if not self._settings.tls_cert:
            return
        asked = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
        seen = self._changed_at()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), _CERTIFICATE_INTERVAL_S)
            now = self._changed_at()
            if now == seen and not asked.is_set():
                continue
            asked.clear()
            try:
                self.load()
            except StartError as error:
                # Half of it may have been written; the next look sees the rest.
                log.warning("the old certificate goes on: %s", error)
                continue
            seen = now
            log.info("new connections get the new certificate")

    def _changed_at(self) -> list[int]:
        """What changes when the files do; Kubernetes changes a link in their path."""
        files: list[Path] = [file for file in (self._settings.tls_cert, self._settings.tls_key) if file]
        try:
            return [number for file in files for number in (file.stat().st_mtime_ns, file.stat().st_ino)]
        except OSError:
            return []
