"""Tell whether a client has received what was written to it, as far as TCP knows (RFC 9293, Linux's struct tcp_info).

A take whose response the client never received is undone.
"""

import asyncio
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

# Only Linux has it. Elsewhere everything written counts as delivered, and a job that was not comes back when its lease
# expires.
_TCP_INFO = getattr(socket, "TCP_INFO", None)
# Offsets of fields in struct tcp_info (linux/tcp.h), and how much of the struct is read.
_BYTES_ACKED, _BYTES_SENT, _BYTES_RETRANSMITTED, _LENGTH = 120, 200, 208, 216
_AT_ONCE = struct.pack("ii", 1, 0)
_CLOSED = 7  # TCP_CLOSE: a reset has come
# How many takes can be undone: a client may send this many before it has read the response to the first.
_MOST_UNDOS = 16
# How long to wait before each check whether a client that may be gone has acknowledged what was written.
_CHECKS_S = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)


class _Facts(NamedTuple):
    """What TCP knows of a connection.

    Attributes:
        acknowledged: how many bytes the client's system has acknowledged in all.
        sent: how many bytes were sent in all, without retransmissions.
        is_over: whether a reset has come from the client's system, so that it acknowledges nothing more.
    """

    acknowledged: int
    sent: int
    is_over: bool


_ALL_DELIVERED = _Facts(sys.maxsize, sys.maxsize, False)


def _facts(connection: socket.socket | None) -> _Facts:
    if _TCP_INFO is None or connection is None:
        return _ALL_DELIVERED
    try:
        facts = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _LENGTH)
    except (OSError, ValueError):  # the socket is closed already
        return _ALL_DELIVERED
    if len(facts) < _LENGTH:
        return _ALL_DELIVERED
    [acked] = struct.unpack_from("Q", facts, _BYTES_ACKED)
    [sent] = struct.unpack_from("Q", facts, _BYTES_SENT)
    [again] = struct.unpack_from("Q", facts, _BYTES_RETRANSMITTED)
    return _Facts(acked, sent - again, facts[0] == _CLOSED)


def progress(transport: asyncio.Transport) -> int:
    """A number that grows as a client reads, while nothing more is written to it.

    It counts acknowledged bytes. The write buffer alone would not show a slow client's progress: the kernel takes more
    of it only once the client has read a good part of what the kernel has.
    """
    return _facts(transport.get_extra_info("socket")).acknowledged - transport.get_write_buffer_size()


def abort(transport: asyncio.Transport) -> None:
    """Close a transport at once.

    It is reset when not everything was read; otherwise the kernel would keep the rest for minutes.
    """
    if not transport.is_closing() and transport.get_write_buffer_size():
        with suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()


async def is_there(transport: asyncio.Transport, written: int) -> bool:
    """Whether a client is still there: whether it acknowledges all of the `written` bytes, the last ones just sent."""
    for seconds in _CHECKS_S:
        await asyncio.sleep(seconds)
        facts = _facts(transport.get_extra_info("socket"))
        if transport.is_closing() or facts.acknowledged >= written or facts.is_over:
            return not transport.is_closing() and facts.acknowledged >= written
    return False


class Undos:
    """The undo functions of a connection's takes, each kept until the client is known to have received its response.

    A client that has read a response can still reset the connection before it acknowledges: its system may delay an
    acknowledgement by up to 40 ms. So after a reset without an end of sending, only bytes that were never sent are
    certainly not received. After an end of sending no acknowledgement is delayed.

    Attributes:
        pending: for each take in doubt, the number of bytes written up to the end of its response, and its undo.
        has_ended: whether the client has ended its sending, by anything but a reset.
        is_lost: whether the connection is over.
    """

    __slots__ = ("has_ended", "is_lost", "pending")

    def __init__(self) -> None:
        self.pending: deque[tuple[int, Callable[[], None]]] = deque(maxlen=_MOST_UNDOS)
        self.has_ended = self.is_lost = False

    def add(self, transport: asyncio.Transport, undo: Callable[[], None], written: int, size: int) -> None:
        """Keep the undo of a take whose response, of `size` bytes, is written next, after `written` earlier bytes."""
        if transport.can_write_eof():
            self.pending.append((written + size, undo))
        else:
            self._watch(transport, undo, size)

    def settle(self, transport: asyncio.Transport, tries: int = 0) -> None:
        """Undo each take whose response the client did not receive; close the transport once that is known for all."""
        facts = _facts(transport.get_extra_info("socket"))
        while self.pending and (is_got := self._is_got(self.pending[0][0], facts)) is not None:
            _, undo = self.pending.popleft()
            if not is_got:
                undo()
        if self.pending and tries < len(_CHECKS_S) and not transport.is_closing():
            asyncio.get_running_loop().call_later(_CHECKS_S[tries], self.settle, transport, tries + 1)
            return
        self.pending.clear()
        transport.close()

    def _is_got(self, written: int, facts: _Facts) -> bool | None:
        """Whether the client has received the first `written` bytes; None when that is not known yet."""
        if facts.acknowledged >= written:
            return True
        if not self.is_lost:
            return False if facts.is_over and self.has_ended else None
        if facts.sent < written:
            return False
        return not self.has_ended if facts.is_over else None

    def _watch(self, transport: asyncio.Transport, undo: Callable[[], None], size: int) -> None:
        """Undo a take over TLS if the client does not receive its response, of at least `size` bytes, written next.

        With TLS the end of a connection is reported only once its socket is closed and has no facts any more. So a
        duplicate of the socket is watched.
        """
        connection = None
        with suppress(OSError):
            connection = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        if connection:
            self._check(connection, undo, _facts(connection).sent + size)

    def _check(self, connection: socket.socket, undo: Callable[[], None], written: int, tries: int = 0) -> None:
        is_got = self._is_got(written, _facts(connection))
        if is_got is None and tries < len(_CHECKS_S):
            loop = asyncio.get_running_loop()
            loop.call_later(_CHECKS_S[tries], self._check, connection, undo, written, tries + 1)
            return
        if is_got is False:
            undo()
        connection.close()
