"""The target of a request (RFC 9112, 3.2): its path, its query and its authority; and checks of related headers."""

import re
from functools import lru_cache
from typing import NamedTuple

from boss.errors import BadInput

# RFC 3986, 3.2.2, and a port.
_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?", re.ASCII)
_LONGEST_HOST = 300
# The most digits of a Content-Length.
MOST_DIGITS = 18


class Target(NamedTuple):
    """A request's target.

    Attributes:
        path: neither decoded nor normalized; `*` for OPTIONS *.
        query: what follows the question mark.
        authority: the host and port of an absolute target, which replace the Host header; None without them.
    """

    path: bytes
    query: bytes
    authority: bytes | None = None


def parse_target(url: bytes) -> Target:
    """Split a target into its parts.

    Raises:
        BadInput: it has a fragment, which no client may send, or is neither a path nor an http URL.
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
    """Check the Host header, which HTTP/1.1 requires (RFC 9112, 3.2).

    Raises:
        BadInput: it is missing or malformed.
    """
    if host is None:
        if version == "1.1":
            raise BadInput("the header Host is missing; HTTP/1.1 needs one, for instance Host: localhost")
    elif not is_host(host):
        raise BadInput("the header Host is none; it is a name or an address and perhaps a port, as in Host: localhost")


@lru_cache(maxsize=256)
def is_host(host: bytes) -> bool:
    """Whether this can be a host, perhaps with a port."""
    return len(host) <= _LONGEST_HOST and _HOST.fullmatch(host) is not None


def check_coding(coding: bytes | None, version: str) -> None:
    """Check the Transfer-Encoding (RFC 9112, 6.1 and 6.3).

    llhttp checks it only after it has reported the head as complete.

    Raises:
        BadInput: the coding is not chunked, which alone tells where the body ends.
    """
    if coding is not None and (coding.lower() != b"chunked" or version != "1.1"):
        raise BadInput("the Transfer-Encoding is not chunked of HTTP/1.1; send chunked, or a Content-Length")


def check_length(length: bytes) -> None:
    """Check the number of digits in a Content-Length. It may begin with zeros, but not with absurdly many.

    Raises:
        BadInput: it has more digits than any length needs.
    """
    if len(length) > MOST_DIGITS:
        raise BadInput(f"the Content-Length has {len(length)} digits; it takes one number of bytes")
