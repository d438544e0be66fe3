"""A request: what its head says, once and typed, and its body as it arrives."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from boss.errors import BadInput, BodyTimeout, BossError, TooLarge, Unauthenticated
from boss.http.parameters import parse_query
from boss.model.permissions import NOBODY, Principal

if TYPE_CHECKING:
    from boss.http.connection import Connection

# So much more than it may be is read of a body before it is refused: to a proxy that still sends, an answer on a
# connection that then closes is an error, and its client gets 502 instead of 413.
_MOST_DISCARDED_BYTES = 32 * 1024 * 1024


class Request(msgspec.Struct, eq=False):
    """One request.

    Attributes:
        connection: what it came on.
        method: as it was sent.
        path: as it was sent, without the query, neither decoded nor normalized.
        query_text: the query as it was sent.
        headers: by lower-case name. Several lines of one name are one (RFC 9110, 5.3).
        peer: the address of the client, or of the proxy before Boss.
        is_http_1_1: whether it is HTTP/1.1, and not 1.0.
        keep_alive: whether the client wants to send another request on its connection.
        params: the parts of the path that vary, percent-encoded.
        principal: what whoever sent it may do.
        is_complete: whether all of it has arrived.
        ends_with_client: whether it is cancelled when its client hangs up.
        late_cancels: how often it was cancelled because its time was over.
        waiter: done when the rest of the body has arrived, or will not; None while no handler waits for it.
        wait_s: how long its response may be in coming because it waits for a job.
    """

    # Of msgspec, whose constructors cost a fifth of one in Python.
    connection: "Connection"
    method: str
    path: str
    query_text: bytes
    headers: dict[bytes, bytes]
    is_http_1_1: bool
    keep_alive: bool
    peer: str
    params: Mapping[str, str] = {}
    principal: Principal = NOBODY
    is_complete: bool = False
    ends_with_client: bool = False
    wait_s: float = 0.0
    late_cancels: int = 0
    # What of the body has arrived: nothing, one part, or several put together.
    _data: bytes | bytearray = b""
    _size: int = 0
    # How much of it is kept; what is more is dropped. None until somebody wants it.
    _most: int | None = None
    _error: BossError | None = None
    waiter: "asyncio.Future[None] | None" = None

    def path_param(self, name: str) -> str:
        """A part of the path by its name in the route, percent-decoded."""
        part = self.params[name]
        return unquote(part) if "%" in part else part

    def header(self, name: bytes) -> str | None:
        """A header's value by its lower-case name; None when it was not sent."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def query(self, known: Iterable[str] = ()) -> Mapping[str, str]:
        """The query's parameters, each at most once and one of `known`.

        Raises:
            BadInput: there is another, or one twice.
        """
        return parse_query(self.query_text, known)

    def wait(self, seconds: float) -> None:
        """Its response may be so much longer in coming, because it waits for a job."""
        self.wait_s = seconds
        self.connection.extend(seconds)

    async def body(self, most: int, what: str) -> bytes:
        """The whole body, however it was sent.

        Raises:
            TooLarge: it has more than `most` bytes; `what` is what the sentence calls it.
            BadInput: it broke off, or is compressed.
            BodyTimeout: it did not come in time.
            Overloaded: other requests' bodies need the memory.
            Unauthenticated: the token that it came with has ended meanwhile.
        """
        if self.is_complete and not self._size:
            return b""
        if (encoding := self.header(b"content-encoding") or "identity") != "identity":
            raise BadInput(f"{what} is sent with Content-Encoding {encoding}; send it as it is")
        if not self.is_complete and self._error is None:
            await self._receive(most, what)
        if self._error is not None:
            raise self._error_about(what, most)
        if self._size > most:
            raise _too_large(what, most)
        return bytes(self._data)

    async def _receive(self, most: int, what: str) -> None:
        # Who waits for 100 Continue has sent nothing yet.
        expects = self.is_http_1_1 and self.headers.get(b"expect", b"").lower() == b"100-continue"
        discarded = 0 if expects else _MOST_DISCARDED_BYTES
        if self.announced > most + discarded:
            raise _too_large(what, most)
        self._most = most
        self.waiter = self.connection.loop.create_future()
        self.connection.read_body(self, expects)
        try:
            await self.waiter
        finally:
            self.connection.extend(0)
        # Who sends slowly was let in a while ago.
        if self._error is None and not self.connection.is_valid(self.principal):
            raise Unauthenticated(f"the token counts no more: it ended before all of {what} was there")

    def _error_about(self, what: str, most: int) -> BossError:
        if isinstance(self._error, TooLarge):
            return _too_large(what, most)
        if isinstance(self._error, BodyTimeout):
            return BodyTimeout(
                f"{what} was not there after {self.connection.settings.body_timeout:g} s; send it at once"
            )
        if isinstance(self._error, BadInput):
            return BadInput(f"{what} {self._error}")
        assert self._error
        return self._error

    # What follows is for the connection, which feeds the body as it arrives.

    @property
    def announced(self) -> int:
        """How long the body is to be, as far as is known, or is already."""
        length = self.headers.get(b"content-length")
        return int(length) if length else self._size

    @property
    def missing(self) -> int:
        """How much of the body is still to come, as far as is known."""
        return self.announced - self._size

    def feed(self, chunk: bytes) -> int:
        """Take the next part of the body; return how many bytes more, or less, are held in memory now."""
        held = len(self._data)
        self._size += len(chunk)
        if self._error or (self._most is not None and self._size > self._most):
            self._data = b""
            if self._most is not None and self._size > self._most + _MOST_DISCARDED_BYTES:
                self.fail(TooLarge())
        elif not held:
            self._data = chunk
        else:
            if isinstance(self._data, bytes):
                self._data = bytearray(self._data)
            self._data += chunk
        return len(self._data) - held

    def wake(self) -> None:
        """The rest of the body has arrived, or will not: whoever waits for it goes on."""
        if self.waiter and not self.waiter.done():
            self.waiter.set_result(None)

    def fail(self, error: BossError) -> None:
        """The body will not arrive, or is not wanted any more; who waits for it gets this error."""
        self._error = error
        self.wake()

    def broke_off(self) -> None:
        """The client has ended its sending before the body's end."""
        self.fail(BadInput(f"broke off after {self._size} bytes"))

    def release(self) -> int:
        """The body is not needed any more; return how many bytes were held."""
        held = len(self._data)
        self._data = b""
        return held


def _too_large(what: str, most: int) -> TooLarge:
    return TooLarge(f"{what} is larger than {most} bytes, which is the most this Boss takes")
