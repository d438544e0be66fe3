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


_ALL_DELIVERED = _Facts(sys.maxsize, 0, False)


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

    Attributes:
        pending: by how many bytes had been written then, for those whose client may not have got the response.
    """

    __slots__ = ("pending",)

    def __init__(self) -> None:
        self.pending: deque[tuple[int, Callable[[], None]]] = deque(maxlen=_MOST_UNDOS)

    def add(self, transport: asyncio.Transport, undo: Callable[[], None], written: int, size: int) -> None:
        """What undoes the take whose response, of so many bytes, is written next, after so many others."""
        if transport.can_write_eof():
            self.pending.append((written + size, undo))
        else:
            _undo_unless_delivered(transport, undo, size)

    def settle(self, transport: asyncio.Transport, tries: int = 0) -> None:
        """Undo the takes if the client never got their responses; close the transport once that is known."""
        facts = _facts(transport.get_extra_info("socket"))
        while self.pending and (facts.is_over or self.pending[0][0] <= facts.acknowledged):
            written, undo = self.pending.popleft()
            if written > facts.acknowledged:
                undo()
        if self.pending and tries < len(_CHECKS_S) and not transport.is_closing():
            asyncio.get_running_loop().call_later(_CHECKS_S[tries], self.settle, transport, tries + 1)
            return
        self.pending.clear()
        transport.close()


def _undo_unless_delivered(transport: asyncio.Transport, undo: Callable[[], None], size: int) -> None:
    """Undo a take if the client never gets what is written next, which has at least so many bytes.

    This is for TLS, whose end is only heard of when its socket is closed, and nothing can be learnt from it any more.
    """
    connection = None
    with suppress(OSError):
        connection = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
    if connection:
        _undo_unless_acknowledged(connection, _facts(connection).sent + size, undo)


def _undo_unless_acknowledged(
    connection: socket.socket, written: int, undo: Callable[[], None], tries: int = 0
) -> None:
    facts = _facts(connection)
    if facts.acknowledged < written and not facts.is_over and tries < len(_CHECKS_S):
        loop = asyncio.get_running_loop()
        loop.call_later(_CHECKS_S[tries], _undo_unless_acknowledged, connection, written, undo, tries + 1)
        return
    if facts.acknowledged < written and facts.is_over:
        undo()
    connection.close()
