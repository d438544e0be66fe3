"""The target of a request (RFC 9112, 3.2): where its path and its query are, and whose they are."""

from typing import NamedTuple

from boss.errors import BadInput


class Target(NamedTuple):
    """A request's target.

    Attributes:
        path: neither decoded nor normalized; `*` for OPTIONS * and empty for CONNECT.
        query: what follows the question mark.
        authority: the host and port of an absolute target, which count instead of the Host header; None without.
    """

    path: bytes
    query: bytes
    authority: bytes | None = None


def parse_target(url: bytes) -> Target:
    """The parts of a target.

    Raises:
        BadInput: it has a fragment, which no client sends.
    """
    if b"#" in url:
        raise BadInput("the request's target has a #; send it percent-encoded, as %23")
    path, _, query = url.partition(b"?")
    if path.startswith(b"/"):
        return Target(path, query)
    scheme, slashes, rest = path.partition(b"://")
    if slashes and scheme.lower() in (b"http", b"https"):
        authority, slash, path = rest.partition(b"/")
        return Target(slash + path or b"/", query, authority)
    return Target(b"*" if path == b"*" else b"", query)
