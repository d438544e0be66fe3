"""Whether a client got what was written to it, as far as TCP knows (RFC 9293, and Linux's struct tcp_info)."""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from boss.http.response import CONTINUE

# Linux only. Elsewhere what was written counts as delivered, and a lease brings back what was not.
_TCP_INFO = getattr(socket, "TCP_INFO", None)
# Where in struct tcp_info stands what is looked at (linux/tcp.h), and how much of it that takes.
_BYTES_ACKED, _BYTES_SENT, _BYTES_RETRANSMITTED, _LENGTH = 120, 200, 208, 216
_CLOSED = 7  # TCP_CLOSE: a reset has come
# A client may send so many takes before it has read the response to the first, and all are undone if it is gone.
_MOST_UNDOS = 16
# When it is looked whether a response has been acknowledged by a client that has ended its sending.
_CHECKS_S = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)


class Delivery(Enum):
    """What has become of what was written."""

    DELIVERED = auto()
    # The client had closed its socket: it answered with a reset, and no program has seen the bytes.
    REFUSED = auto()
    UNKNOWN = auto()


def delivery(transport: asyncio.Transport) -> Delivery:
    """What has become of everything that was written to a transport."""
    connection = transport.get_extra_info("socket")
    if _TCP_INFO is None or connection is None:
        return Delivery.DELIVERED
    try:
        facts = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _LENGTH)
    except (OSError, ValueError):  # it is closed already
        return Delivery.UNKNOWN
    if len(facts) < _LENGTH:
        return Delivery.DELIVERED
    [acked] = struct.unpack_from("Q", facts, _BYTES_ACKED)
    [sent] = struct.unpack_from("Q", facts, _BYTES_SENT)
    [again] = struct.unpack_from("Q", facts, _BYTES_RETRANSMITTED)
    if acked >= sent - again and not transport.get_write_buffer_size():
        return Delivery.DELIVERED
    return Delivery.REFUSED if facts[0] == _CLOSED else Delivery.UNKNOWN


async def is_there(transport: asyncio.Transport) -> bool:
    """Whether a client that has ended its sending still reads.

    It is sent an interim response, for that is the only way to learn it: a client that has closed its socket answers
    with a reset. Any client of HTTP/1.1 passes over one (RFC 9110, 15.2).
    """
    transport.write(CONTINUE)
    for seconds in _CHECKS_S:
        await asyncio.sleep(seconds)
        found = delivery(transport)
        if found is not Delivery.UNKNOWN or transport.is_closing():
            return found is Delivery.DELIVERED
    return False


class Undos:
    """What undoes the takes of a connection whose responses were written, until its client is heard of again.

    Attributes:
        pending: those whose client may not have got the response.
    """

    __slots__ = ("pending",)

    def __init__(self) -> None:
        self.pending: deque[Callable[[], None]] = deque(maxlen=_MOST_UNDOS)

    def settle(self, transport: asyncio.Transport, tries: int = 0) -> None:
        """Undo the takes if the client never got their responses; close the transport once that is known."""
        found = delivery(transport)
        if found is Delivery.REFUSED:
            for undo in self.pending:
                undo()
        elif found is Delivery.UNKNOWN and tries < len(_CHECKS_S) and not transport.is_closing():
            asyncio.get_running_loop().call_later(_CHECKS_S[tries], self.settle, transport, tries + 1)
            return
        self.pending.clear()
        transport.close()
