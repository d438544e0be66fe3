"""The target of a request (RFC 9112, 3.2): where its path and its query are, and whose they are."""

import re
from functools import lru_cache
from typing import NamedTuple

from boss.errors import BadInput

# RFC 3986, 3.2.2, and a port.
_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?", re.ASCII)
_LONGEST_HOST = 300
# Of a Content-Length.
MOST_DIGITS = 18


class Target(NamedTuple):
    """A request's target.

    Attributes:
        path: neither decoded nor normalized; `*` for OPTIONS *.
        query: what follows the question mark.
        authority: the host and port of an absolute target, which count instead of the Host header; None without.
    """

    path: bytes
    query: bytes
    authority: bytes | None = None


def parse_target(url: bytes) -> Target:
    """The parts of a target.

    Raises:
        BadInput: it has a fragment, which no client sends, or is none.
    """
    if b"#" in url:
        raise BadInput("the request's target has a #; send it percent-encoded, as %23")
    path, _, query = url.partition(b"?")
    if path.startswith(b"/"):
        return Target(path, query)
    scheme, slashes, rest = path.partition(b"://")
    if slashes and scheme.lower() in (b"http", b"https"):
        authority, slash, path = rest.partition(b"/")
        if not authority:
            raise BadInput(f"the request's target is {scheme.decode()}:// of nobody; send a path alone")
        return Target(slash + path or b"/", query, authority)
    if path != b"*":
        raise BadInput("the request's target is neither a path nor an http URL")
    return Target(b"*", query)


def check_host(host: bytes | None, version: str) -> None:
    """RFC 9112, 3.2: no HTTP/1.1 without a Host.

    Raises:
        BadInput: there is none, or it is no host.
    """
    if host is None:
        if version == "1.1":
            raise BadInput("the header Host is missing; HTTP/1.1 needs one, for instance Host: localhost")
    elif not is_host(host):
        raise BadInput("the header Host is none; it is a name or an address and perhaps a port, as in Host: localhost")


@lru_cache(maxsize=256)
def is_host(host: bytes) -> bool:
    """Whether this can be a host and its port."""
    return len(host) <= _LONGEST_HOST and _HOST.fullmatch(host) is not None


def check_coding(coding: bytes | None, version: str) -> None:
    """RFC 9112, 6.1 and 6.3: llhttp looks at the coding only after it has called the request complete in its head.

    Raises:
        BadInput: it is none that says where the body ends.
    """
    if coding is not None and (coding.lower() != b"chunked" or version != "1.1"):
        raise BadInput("the Transfer-Encoding is not chunked of HTTP/1.1; send chunked, or a Content-Length")


def check_length(length: bytes) -> None:
    """Zeros may stand before a Content-Length; as many as nobody writes are refused.

    Raises:
        BadInput: there are more digits than any length has.
    """
    if len(length) > MOST_DIGITS:
        raise BadInput(f"the Content-Length has {len(length)} digits; it takes one number of bytes")
