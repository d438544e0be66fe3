"""Bytes on a connection, for requests that no HTTP client library would send."""

import contextlib
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

HOST = b"Host: localhost\r\n"


class Reply(NamedTuple):
    """One HTTP/1.1 response as it arrived."""

    status: int
    headers: dict[str, str]
    body: bytes


def exchange(port: int, *parts: bytes, methods: Sequence[str] = ()) -> list[Reply]:
    """Send these bytes, each part by itself, and end the sending; return everything that is received."""
    with Wire(port) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):  # Boss has refused the request already
            for part in parts:
                wire.send(part)
            wire.end()
        return wire.replies(*methods)


class Wire:
    """A connection to a Boss."""

    def __init__(self, port: int, timeout: float = 20) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        # What has arrived, and how much of it was read: to cut off each reply would copy all that are behind it.
        self._received, self._read = b"", 0

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> "Wire":
        """Send bytes as they are."""
        self.socket.sendall(b"".join(parts))
        return self

    def request(self, method: str, path: str, *headers: str, body: bytes = b"") -> "Wire":
        """Send a request; its headers are given as lines."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
        if body and not any(header.lower().startswith(("content-length", "transfer")) for header in headers):
            lines.append(f"Content-Length: {len(body)}")
        return self.send("\r\n".join(lines).encode("latin-1"), b"\r\n\r\n", body)

    def reply(self, method: str = "GET") -> Reply:
        """Read one response; skip 100 Continue."""
        head = self._until(b"\r\n\r\n").decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        if status == 100:
            return self.reply(method)
        length = 0 if method == "HEAD" else int(headers.get("content-length", 0))
        while len(self._received) - self._read < length:
            self._receive()
        return Reply(status, headers, self._next(length))

    def replies(self, *methods: str) -> list[Reply]:
        """Read all responses until Boss ends the connection; `methods` are those of the first requests, if not GET."""
        read: list[Reply] = []
        while len(self._received) > self._read or self._receives():
            read.append(self.reply(methods[len(read)] if len(read) < len(methods) else "GET"))
        return read

    def end(self) -> "Wire":
        """End the sending; responses can still be read."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def close(self) -> None:
        """Close it."""
        self.socket.close()

    def reset(self) -> None:
        """Close the connection with a reset, like a process that dies with unread input."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _receives(self) -> bool:
        with contextlib.suppress(ConnectionError):
            self._receive()
            return True
        return False

    def _until(self, mark: bytes) -> bytes:
        while (end := self._received.find(mark, self._read)) < 0:
            self._receive()
        return self._next(end + len(mark) - self._read)

    def _next(self, size: int) -> bytes:
        first, self._read = self._read, self._read + size
        return self._received[first : self._read]

    def _receive(self) -> None:
        data = self.socket.recv(1 << 20)
        left = self._received[self._read :]
        if not data:
            raise ConnectionError(f"closed after {left!r}")
        self._received, self._read = left + data, 0
