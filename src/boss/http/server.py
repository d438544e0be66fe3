"""The listening sockets, which accept connections, and the handshakes of those with TLS."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from boss.errors import StartError, WrongSetting
from boss.http import problems
from boss.http.background import in_background
from boss.http.certificate import Certificate
from boss.http.connection import Connection
from boss.http.connections import Connections
from boss.http.response import encode
from boss.settings import Settings

log = logging.getLogger("boss")

_BACKLOG = 4096
# How long clients may take to read the last responses, in seconds.
_CLOSE_S = 5.0
_HANDSHAKE_TIMEOUT_S = 10.0
# How many connections are accepted at once, before requests are served again.
_MOST_ACCEPTED = 100
# How long to accept nothing when the process cannot open another file.
_ACCEPT_AGAIN_S = 1.0


@asynccontextmanager
async def listening(
    connections: Connections, settings: Settings, sockets: Sequence[socket.socket]
) -> AsyncIterator["Acceptor"]:
    """Accept connections on bound sockets until the block is left, or the acceptor that it yields is closed.

    Raises:
        StartError: the certificate cannot be used.
    """
    certificate = Certificate(settings)
    if settings.tls_cert:
        certificate.load()
    acceptor = Acceptor(connections, certificate if settings.tls_cert else None)
    await acceptor.open(sockets)
    async with in_background(certificate.renew_forever()):
        try:
            yield acceptor
        finally:
            acceptor.close()
            if not await connections.close(_CLOSE_S):
                log.warning("some responses were not read within %s seconds; their connections are closed", _CLOSE_S)


async def listening_sockets(settings: Settings) -> list[socket.socket]:
    """Sockets bound to every address of the host, for one worker. Other workers may bind the same addresses.

    Raises:
        StartError: Boss cannot listen on the address.
    """
    loop, sockets = asyncio.get_running_loop(), []
    try:
        found = await loop.getaddrinfo(
            settings.host or None, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listening = socket.socket(family, kind, protocol)
            sockets.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if settings.workers > 1:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                # IPv4 addresses have sockets of their own.
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.setblocking(False)
            listening.bind(address)
    except OSError as error:
        for listening in sockets:
            listening.close()
        # A negative number comes from getaddrinfo, whose error already has words.
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        # A host that does not resolve, or an address that this machine does not have, is a wrong setting.
        kind_of = (
            WrongSetting if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL else StartError
        )
        raise kind_of(
            f"cannot listen on {settings.host} port {settings.port}: {why}; choose another with --host or --port"
        ) from error
    return sockets


class Acceptor:
    """Accepts connections.

    Args:
        connections: takes over each connection.
        certificate: the certificate of the connections; None without TLS.
    """

    def __init__(self, connections: Connections, certificate: Certificate | None) -> None:
        self._connections = connections
        self._certificate = certificate
        self._loop = asyncio.get_running_loop()
        self._servers: list[asyncio.Server] = []
        # Only with TLS. Without it the event loop accepts connections by itself.
        self._sockets: list[socket.socket] = []
        self._handshakes: set[asyncio.Task[None]] = set()

    async def open(self, sockets: Sequence[socket.socket]) -> None:
        """Accept connections on these from now on."""
        for listening in sockets:
            if self._certificate is None:
                server = await self._loop.create_server(
                    lambda: Connection(self._connections), sock=listening, backlog=_BACKLOG
                )
                self._servers.append(server)
            else:
                listening.listen(_BACKLOG)
                self._sockets.append(listening)
                self._loop.add_reader(listening, self._accept, listening)

    def close(self) -> None:
        """Accept no more connections."""
        for server in self._servers:
            server.close()
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()
        self._sockets.clear()

    def _accept(self, listening: socket.socket) -> None:
        """Accept the waiting connections, and begin their handshakes.

        A connection counts towards the limit from here on, not only after its handshake.
        """
        for _ in range(_MOST_ACCEPTED):
            try:
                accepted, address = listening.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._pause(listening, error)
                return
            accepted.setblocking(False)
            connection = Connection(self._connections)
            connection.accept(accepted, address[0])
            task = self._loop.create_task(self._handshake(connection, accepted))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        log.warning("no connection can be accepted for now: %s", os.strerror(error.errno or 0))
        self._loop.remove_reader(listening)
        self._loop.call_later(_ACCEPT_AGAIN_S, self._go_on, listening)

    def _go_on(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)

    async def _handshake(self, connection: Connection, accepted: socket.socket) -> None:
        assert self._certificate
        # The event loop closes the socket when the handshake fails. The duplicate can still send a response then.
        copy = None
        with suppress(OSError):  # too many open files
            copy = accepted.dup()
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._certificate.context,
                ssl_handshake_timeout=min(_HANDSHAKE_TIMEOUT_S, self._connections.settings.header_timeout),
            )
        except OSError as error:  # a failed handshake (SSLError), a closed connection, or a time-out
            self._connections.remove(connection)
            accepted.close()
            if copy and getattr(error, "reason", "") == "HTTP_REQUEST":
                with suppress(OSError):
                    copy.send(encode(problems.https_needed(), "", True, True, self._connections.date))
        finally:
            if copy:
                copy.close()
