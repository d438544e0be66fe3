"""The phases of a connection, and the time-outs that are not settings."""

from enum import Enum, auto

# How long a request may take, from the end of its body to its response. Only the database takes long. A single
# statement may take as much, but a request may have to wait for another statement first, or need several.
REQUEST_TIMEOUT_S = 10.0
# The interval at which a late request is cancelled again, because a cancellation can get lost (background.py).
CANCEL_AGAIN_S = 0.5
# How long a new connection may be silent.
FIRST_BYTE_TIMEOUT_S = 30.0
# How long a client may read nothing of what was written.
UNREAD_TIMEOUT_S = 30.0
# How long input is dropped before a connection is closed. Closing it with unread input sends a reset, which can destroy
# the response on its way (RFC 9112, 9.6).
LINGER_S = 5.0
# Over TLS it is shorter, because the client learns only after it that the connection is closed.
TLS_LINGER_S = 1.0


class Phase(Enum):
    """What a connection waits for."""

    HANDSHAKE = auto()
    # A request's first byte: the connection is idle.
    REQUEST = auto()
    HEAD = auto()
    BODY = auto()
    RESPONSE = auto()
    # The client's end of the connection, after the last response.
    END = auto()
