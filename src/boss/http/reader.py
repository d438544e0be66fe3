"""Parse bytes into requests with httptools, that is llhttp: Node's parser, which is strict about ambiguous input."""

from typing import TYPE_CHECKING

import httptools

from boss.errors import BadInput, Overloaded
from boss.http import problems
from boss.http.request import Request
from boss.http.response import Response
from boss.http.target import MOST_DIGITS, check_coding, check_host, check_length, is_host, parse_target

if TYPE_CHECKING:
    from boss.http.connection import Connection

# How much is given to the parser at once. It cannot be told to stop after one request. It parses all requests in a
# slice, and each takes a hundred times as much memory as its bytes.
_SLICE_BYTES = 2048
# Headers that must not be repeated: a proxy could read one of the values, and Boss the other.
_ONCE = frozenset(
    [
        b"authorization",
        b"host",
        b"origin",
        b"sec-fetch-site",
        b"sec-fetch-mode",
        b"sec-fetch-dest",
        b"sec-purpose",
        b"if-match",
    ]
)
_MOST_HEADERS = 100
_VERSIONS = {"1.1": True, "1.0": False}


class RequestReader:
    """Reads the requests of one connection. Its methods named `on_…` are httptools' callbacks.

    Args:
        connection: gets each request as soon as its head has arrived, perhaps before its body.
        max_headers: the largest head, in bytes.

    Attributes:
        ahead: bytes that have arrived and wait to be parsed until earlier requests have been served.
        reading: the request whose body is arriving.
        is_refused: whether the input cannot be read. Nothing more is parsed then.
    """

    __slots__ = (
        "_connection",
        "_fed",
        "_headers",
        "_held",
        "_is_going_on",
        "_is_slowed",
        "_max_headers",
        "_parser",
        "_repeated",
        "_twice",
        "_url",
        "ahead",
        "is_refused",
        "reading",
    )

    def __init__(self, connection: "Connection", max_headers: int) -> None:
        self._connection = connection
        self._max_headers = max_headers
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._repeated = 0
        self._twice: bytes | None = None
        # Bytes given to the parser since it last finished a head or a part of a body; those of them in the budget.
        self._fed = self._held = 0
        self.ahead = bytearray()
        self._is_going_on = self._is_slowed = False
        self.reading: Request | None = None
        self.is_refused = False

    def feed(self, data: bytes) -> None:
        """Parse bytes that have arrived, or keep them until earlier requests have been served."""
        if self.ahead or len(data) > _SLICE_BYTES or self._connection.queue:
            self.ahead += data
            self._connection.budget.used += len(data)
            self.go_on()
        else:
            self._parse(data)

    def go_on(self) -> None:
        """Parse bytes that were kept. At most one request is read ahead of the one being served."""
        # The connection calls this as soon as it gets a request, that is while a part is being parsed.
        if self._is_going_on:
            return
        self._is_going_on = True
        while self.ahead and not self.is_refused and (self.reading or not self._connection.queue):
            size = max(_SLICE_BYTES, self.reading.missing if self.reading else 0)
            part = bytes(self.ahead[:size])
            del self.ahead[:size]
            self._connection.budget.used -= len(part)
            self._parse(part)
        self._is_going_on = False
        # While bytes are kept, the connection reads no more, so further bytes stay with the client.
        if bool(self.ahead) != self._is_slowed:
            self._is_slowed = bool(self.ahead)
            self._connection.slow_down(self._is_slowed)
            if self._connection.budget.is_exceeded:
                self._refuse(problems.to_response(Overloaded("other requests need the memory; send one at a time")))

    def end(self) -> None:
        """The client has ended its sending."""
        if self.reading and not self.ahead:
            self.reading.broke_off()

    def close(self) -> None:
        """The connection is over."""
        self._drop()
        self.end()
        self.reading = None
        # Both refer to this reader. Without this only the garbage collector, which runs rarely, would free them.
        del self._parser, self._connection

    def _hold(self, head: int) -> None:
        """Count this much of an arriving head in the budget. Most heads arrive at once and are never counted."""
        if head != self._held:
            self._connection.budget.used += head - self._held
            self._held = head

    def _drop(self) -> None:
        self._hold(0)
        self._connection.budget.used -= len(self.ahead)
        self.ahead.clear()

    def _parse(self, data: bytes) -> None:
        self._fed += len(data)
        self._hold(0)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._parse_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            self._refuse(problems.unforeseen("a request", "its head"))
        except httptools.HttpParserError as error:
            self._refuse(problems.unreadable(error, data))
        # Boss drops trailers and chunk extensions, but httptools holds each in memory until it is complete.
        if self._fed > self._max_headers + _SLICE_BYTES:
            self._refuse(problems.headers_too_large(self._max_headers))
        elif self._fed > _SLICE_BYTES and not self.is_refused:
            self._hold(self._fed)
            if self._connection.budget.is_exceeded:
                self._refuse(problems.to_response(Overloaded("other requests need the memory; send this one again")))

    def _parse_without_upgrade(self, rest: bytes) -> None:
        """Parse a request again without its offer of an upgrade, because httptools would ignore its body."""
        if self.is_refused:
            return
        if self._parser.get_method() == b"CONNECT":
            self._refuse(problems.no_tunnel())
            return
        headers = {name: value for name, value in self._headers.items() if name not in (b"upgrade", b"connection")}
        tokens = [token.strip() for token in self._headers.get(b"connection", b"").split(b",")]
        headers[b"connection"] = b", ".join(token for token in tokens if token.lower() not in (b"upgrade", b""))
        line = b"%b %b HTTP/%b\r\n" % (self._parser.get_method(), self._url, self._parser.get_http_version().encode())
        head = line + b"".join(b"%b: %b\r\n" % header for header in headers.items()) + b"\r\n"
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._headers, self._fed, self._repeated = b"", {}, 0, 0
        self._parse(head)
        if rest and not self.is_refused:
            self._parse(rest)

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, which is dropped."""
        if self.reading:
            return
        name, value = name.lower(), value.rstrip()
        if name in self._headers:
            self._twice = name if name in _ONCE else self._twice
            self._repeated += 1
            value = self._headers[name] + (b"; " if name == b"cookie" else b", ") + value
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        """The head of a request has arrived."""
        parser = self._parser
        if parser.should_upgrade() or self.is_refused:
            return
        headers, url = self._headers, self._url
        self._url, self._headers = b"", {}
        most = self._max_headers
        if len(headers) + self._repeated > _MOST_HEADERS or (self._fed > most and _size(url, headers) > most):
            self._refuse(problems.headers_too_large(most))
            return
        self._fed = self._repeated = 0
        version = parser.get_http_version()
        if version not in _VERSIONS:
            self._refuse(problems.wrong_version(version))
            return
        path, _, query = url.partition(b"?")
        host = headers.get(b"host")
        is_usual = path.startswith(b"/") and host is not None and is_host(host) and not self._twice
        length = headers.get(b"content-length", b"")
        if not is_usual or b"#" in url or b"transfer-encoding" in headers or len(length) > MOST_DIGITS:
            try:
                path, query = self._read_unusual(url, headers, version)
            except BadInput as error:
                self._refuse(problems.to_response(error))
                return
        request = Request(
            self._connection,
            parser.get_method().decode("ascii"),
            path.decode("latin-1"),
            query,
            headers,
            _VERSIONS[version],
            parser.should_keep_alive(),
            self._connection.peer,
        )
        self.reading = request
        self._connection.receive(request)

    def _read_unusual(self, url: bytes, headers: dict[bytes, bytes], version: str) -> tuple[bytes, bytes]:
        """The path and query of a request that needs more checks, such as one with an absolute target.

        Raises:
            BadInput: the request is invalid.
        """
        if self._twice:
            raise BadInput(f"the header {self._twice.decode()} is there twice")
        target = parse_target(url)
        check_host(headers.get(b"host"), version)
        if target.authority is not None:
            check_host(target.authority, version)
            headers[b"host"] = target.authority
        check_coding(headers.get(b"transfer-encoding"), version)
        check_length(headers.get(b"content-length", b""))
        return target.path, target.query

    def on_body(self, chunk: bytes) -> None:
        """A part of a body."""
        request = self.reading
        if request is None:
            return
        self._fed = 0
        budget = self._connection.budget
        more = request.feed(chunk)
        budget.used += more
        if more > 0 and not budget.has_room(0, request.announced):
            request.fail(Overloaded("other requests' bodies need the memory; send this one again"))
            budget.used -= request.release()

    def on_message_complete(self) -> None:
        """The whole request has arrived."""
        if request := self.reading:
            request.is_complete = True
            if request.waiter:
                request.wake()
            self.reading = None

    def _refuse(self, response: Response) -> None:
        if self.is_refused:
            return
        self.is_refused = True
        self._drop()
        if self.reading:
            self.reading.fail(BadInput("cannot be read: its chunks are not as RFC 9112 has them"))
            self.reading = None
        else:
            self._connection.refuse(response)


def _size(url: bytes, headers: dict[bytes, bytes]) -> int:
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers.items())
