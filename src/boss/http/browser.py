"""What browsers send, and for whom: the page's own script, a person at the address bar, or a page elsewhere.

Browsers say so in headers that no page can change: https://www.w3.org/TR/fetch-metadata/. They do it for servers on the
same machine and over TLS. To others they send at least an Origin, with all but a plain GET or HEAD. Other programs send
neither, and nothing here is about them.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from boss.errors import Forbidden
from boss.http.request import Request

Headers = Mapping[bytes, bytes]

# The cookie in which the page keeps its token (http/session.py).
COOKIE = b"boss_token"
# What a browser may open, also by a link from elsewhere: it shows nothing by itself, and what it then asks for comes
# from Boss's own page.
_OPENED = ("/", "/docs", "/openapi.json")
# What says that something is fetched in case somebody opens it: the first, in older browsers one of the others.
_PURPOSES = frozenset([b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"])
_ADVANCE = (b"prefetch", b"preview")
_OPENS = (b"navigate", b"websocket")
_FRAMES = (b"document", b"iframe", b"frame", b"fencedframe", b"embed", b"object")
_BY_SCRIPT = (b"cors", b"same-origin")
_TREE = "/job/"
# Headers that only browsers send.
HEADERS = frozenset([*_PURPOSES, b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"origin"])

_NOTHING_ELSE = "a browser opens nothing here but the page, /, and the documentation, /docs; curl may ask for all of it"


def check_site(request: Request) -> None:
    """Refuse what a browser sends without the page's own script having asked for it.

    Raises:
        Forbidden: another site has it sent, or nobody has: it is fetched in advance, or opened by a link or by hand. A
            link from outside a page, and whatever that redirects to, is `Sec-Fetch-Site: none`, and the page's cookie
            travels along.
    """
    headers = request.headers
    if _is_in_advance(headers):
        raise Forbidden("Boss does not answer what a browser asks for in advance; open the page itself")
    opened = _is_opened(headers)
    if opened and request.method == "GET" and request.path in _OPENED:
        return
    if opened and headers.get(b"sec-fetch-site") == b"none":
        raise Forbidden(_NOTHING_ELSE)
    if _is_foreign(headers):
        raise Forbidden("this request comes from a web page that is not Boss's own; a browser must not do that")
    if opened:
        raise Forbidden(_NOTHING_ELSE)


def is_by_page(request: Request) -> bool:
    """Whether the page's own script sends this request, as far as its headers tell.

    A browser that does not say where its requests come from sends the page's Origin with a POST or DELETE, and the page
    asks for nothing below /job by another method. So there a link gets no cookie's rights.
    """
    headers = request.headers
    if b"sec-fetch-site" in headers or b"sec-fetch-mode" in headers:
        return headers.get(b"sec-fetch-site") == b"same-origin" and headers.get(b"sec-fetch-mode") in _BY_SCRIPT
    if b"origin" in headers:
        return not _is_foreign(headers)
    return request.method in ("GET", "HEAD") and not request.path.startswith(_TREE)


def tokens_of_page(cookies: bytes) -> set[str]:
    """What the page's cookie holds, in the header Cookie of a request.

    A host's cookies are shared by all its ports, so there may be any others, however odd, and even others of this name.
    They are read as RFC 6265 has a server see them (section 4.2.1), and nothing in one spoils the next; http.cookies
    stops at the first that it does not understand.
    """
    pairs = (pair.partition(b"=") for pair in cookies.split(b";"))
    return {value.strip().decode("latin-1") for name, _, value in pairs if name.strip() == COOKIE}


def _is_in_advance(headers: Headers) -> bool:
    return b"sec-purpose" in headers or any(headers.get(name, b"").lower() in _ADVANCE for name in _PURPOSES)


def _is_opened(headers: Headers) -> bool:
    """Whether a browser opens this in a window or a frame, or as a WebSocket."""
    return headers.get(b"sec-fetch-mode") in _OPENS or headers.get(b"sec-fetch-dest") in _FRAMES


def _is_foreign(headers: Headers) -> bool:
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        # "none": nobody's script sends it, and what a person opens has been let through before.
        return site != b"same-origin"
    origin = headers.get(b"origin")
    return origin is not None and not _is_same(origin, headers.get(b"host"))


def _is_same(origin: bytes, host: bytes | None) -> bool:
    try:
        return host is not None and urlsplit(origin.decode("latin-1")).netloc.lower() == host.decode("latin-1").lower()
    except ValueError:
        return False
