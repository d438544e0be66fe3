"""Whether a client got what was written to it, as far as TCP knows (RFC 9293, and Linux's struct tcp_info)."""

import asyncio
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

# Linux only. Elsewhere what was written counts as delivered, and a lease brings back what was not.
_TCP_INFO = getattr(socket, "TCP_INFO", None)
# Where in struct tcp_info stands what is looked at (linux/tcp.h), and how much of it that takes.
_BYTES_ACKED, _BYTES_SENT, _BYTES_RETRANSMITTED, _LENGTH = 120, 200, 208, 216
_AT_ONCE = struct.pack("ii", 1, 0)
_CLOSED = 7  # TCP_CLOSE: a reset has come
# A client may send so many takes before it has read the response to the first, and all are undone if it is gone.
_MOST_UNDOS = 16
# When it is looked whether what was written has been acknowledged by a client that may be gone.
_CHECKS_S = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)


class _Facts(NamedTuple):
    """What TCP knows of a connection.

    Attributes:
        acknowledged: how many bytes the client's system has got, over all.
        sent: how many were sent to it.
        is_over: whether no more will be acknowledged: the client's system answered with a reset.
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
    except (OSError, ValueError):  # it is closed already
        return _ALL_DELIVERED
    if len(facts) < _LENGTH:
        return _ALL_DELIVERED
    [acked] = struct.unpack_from("Q", facts, _BYTES_ACKED)
    [sent] = struct.unpack_from("Q", facts, _BYTES_SENT)
    [again] = struct.unpack_from("Q", facts, _BYTES_RETRANSMITTED)
    return _Facts(acked, sent - again, facts[0] == _CLOSED)


def progress(transport: asyncio.Transport) -> int:
    """A number that grows as a client reads what was written to it, while nothing more is.

    The system takes over more only once a good part of what it has was read, which can take a slow client long.
    """
    return _facts(transport.get_extra_info("socket")).acknowledged - transport.get_write_buffer_size()


def abort(transport: asyncio.Transport) -> None:
    """Close a transport at once: by a reset if not all was read, or the system would keep the rest for minutes."""
    if not transport.is_closing() and transport.get_write_buffer_size():
        with suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()


async def is_there(transport: asyncio.Transport, written: int) -> bool:
    """Whether a client still reads, after so many bytes have been written to it, of which it has not got the last."""
    for seconds in _CHECKS_S:
        await asyncio.sleep(seconds)
        facts = _facts(transport.get_extra_info("socket"))
        if transport.is_closing() or facts.acknowledged >= written or facts.is_over:
            return not transport.is_closing() and facts.acknowledged >= written
    return False


class Undos:
    """What undoes the takes of a connection whose responses were written, until its client is heard of again.

    A reset that comes without an end may come from a client that has read the response, for its system puts off
    acknowledging it by up to 40 ms. So only what was never sent is certain then. After an end nothing is put off.

    Attributes:
        pending: by how many bytes had been written then, for those whose client may not have got the response.
        has_ended: whether the client has ended its sending, by anything but a reset.
        is_lost: whether the connection is over.
    """

    __slots__ = ("has_ended", "is_lost", "pending")

    def __init__(self) -> None:
        self.pending: deque[tuple[int, Callable[[], None]]] = deque(maxlen=_MOST_UNDOS)
        self.has_ended = self.is_lost = False

    def add(self, transport: asyncio.Transport, undo: Callable[[], None], written: int, size: int) -> None:
        """What undoes the take whose response, of so many bytes, is written next, after so many others."""
        if transport.can_write_eof():
            self.pending.append((written + size, undo))
        else:
            self._watch(transport, undo, size)

    def settle(self, transport: asyncio.Transport, tries: int = 0) -> None:
        """Undo the takes if the client never got their responses; close the transport once that is known."""
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
        """Whether the client has got what was written up to there; None when it is not known yet."""
        if facts.acknowledged >= written:
            return True
        if not self.is_lost:
            return False if facts.is_over and self.has_ended else None
        if facts.sent < written:
            return False
        return not self.has_ended if facts.is_over else None

    def _watch(self, transport: asyncio.Transport, undo: Callable[[], None], size: int) -> None:
        """Undo a take over TLS if its client never gets what is written next, which is more than so many bytes.

        TLS hears of its end only when the socket is closed, and nothing can be learnt from it any more.
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
