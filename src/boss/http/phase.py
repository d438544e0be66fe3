"""What a connection waits for, and for how long it may."""

from enum import Enum, auto

# How long a request may take from its arrival, that is from the end of its body. Only the database takes long: a
# statement has as much, but there may be one to wait for first, and more than one to come.
REQUEST_TIMEOUT_S = 10.0
# How often a request that is late is cancelled: a cancellation can get lost on its way (background.py).
CANCEL_AGAIN_S = 0.5
# How long a new connection may be silent.
FIRST_BYTE_TIMEOUT_S = 30.0
# How long a client may go without reading anything of what was written.
UNREAD_TIMEOUT_S = 30.0
# How long input is dropped before a connection is closed. To close it with unread input is a reset, which may destroy
# the response on its way (RFC 9112, 9.6).
LINGER_S = 5.0
# Over TLS the client hears of the end only then.
TLS_LINGER_S = 1.0


class Phase(Enum):
    """What a connection waits for."""

    HANDSHAKE = auto()
    # A request's first byte: it is idle.
    REQUEST = auto()
    HEAD = auto()
    BODY = auto()
    RESPONSE = auto()
    # The client's end, once all was written.
    END = auto()
