"""Whether a client got what was written to it, as far as TCP knows (RFC 9293, and Linux's struct tcp_info)."""

import asyncio
import socket
import struct
from enum import Enum, auto

# Linux only. Elsewhere what was written counts as delivered, and a lease brings back what was not.
_TCP_INFO = getattr(socket, "TCP_INFO", None)
# Where in struct tcp_info stands what is looked at (linux/tcp.h), and how much of it that takes.
_BYTES_ACKED, _BYTES_SENT, _BYTES_RETRANSMITTED, _LENGTH = 120, 200, 208, 216
_CLOSED = 7  # TCP_CLOSE: a reset has come


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
