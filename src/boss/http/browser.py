"""Tell which requests of a browser come from Boss's own page, from a person at the address bar, or from another site.

Browsers say so in headers that no page can change: https://www.w3.org/TR/fetch-metadata/. They send these headers to
servers on the same machine and over TLS. To other servers they send at least an Origin, except with a plain GET or
HEAD. Programs that are no browsers send neither, and nothing here applies to them.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from boss.errors import Forbidden
from boss.http.request import Request

Headers = Mapping[bytes, bytes]

# The cookie that holds the dashboard's token (routes/session.py).
COOKIE = b"boss_token"
# What a browser may open, even by a link from another site. These files show no data. The requests for data then come
# from Boss's own page.
_OPENED = ("/", "/docs", "/openapi.json")
# Headers that mark a prefetch: the first one in current browsers, the others in older ones.
_PURPOSES = frozenset([b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"])
_ADVANCE = (b"prefetch", b"preview")
_OPENS = (b"navigate", b"websocket")
_FRAMES = (b"document", b"iframe", b"frame", b"fencedframe", b"embed", b"object")
_BY_SCRIPT = (b"cors", b"same-origin")
_TREE = "/job/"
# Headers that only browsers send.
HEADERS = frozenset([*_PURPOSES, b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"origin"])

_NOTHING_ELSE = "a browser may open only the dashboard, /, and the documentation, /docs; use curl for other addresses"


def check_site(request: Request) -> None:
    """Refuse a browser's request that the dashboard's own script did not send.

    Raises:
        Forbidden: another site caused the request, or the browser prefetches it, or a person opened it by a link or by
            hand. A link from outside any page, and whatever it redirects to, has `Sec-Fetch-Site: none`, and the
            browser sends the dashboard's cookie with it.
    """
    headers = request.headers
    if _is_in_advance(headers):
        raise Forbidden("Boss does not answer what a browser fetches in advance; open the dashboard itself")
    opened = _is_opened(headers)
    if opened and request.method == "GET" and request.path in _OPENED:
        return
    if opened and headers.get(b"sec-fetch-site") == b"none":
        raise Forbidden(_NOTHING_ELSE)
    if _is_foreign(headers):
        raise Forbidden("this request comes from a web page that is not Boss's own; Boss refuses such requests")
    if opened:
        raise Forbidden(_NOTHING_ELSE)


def is_in_window(request: Request) -> bool:
    """Whether a browser opens this address in a window, now and not in advance.

    No page sees what a window shows, so it may be told that nothing is there. A frame or an object would tell its page.
    """
    headers = request.headers
    is_window = headers.get(b"sec-fetch-mode") == b"navigate" and headers.get(b"sec-fetch-dest") == b"document"
    return is_window and not _is_in_advance(headers)


def is_by_dashboard(request: Request) -> bool:
    """Whether the dashboard's own script sends this request, as far as its headers tell.

    A browser without fetch metadata still sends an Origin with POST, PUT and DELETE. Below /job the dashboard uses only
    these methods. So a GET or HEAD below /job, which could come from a link, does not get the rights of the cookie.
    """
    headers = request.headers
    if b"sec-fetch-site" in headers or b"sec-fetch-mode" in headers:
        return headers.get(b"sec-fetch-site") == b"same-origin" and headers.get(b"sec-fetch-mode") in _BY_SCRIPT
    if b"origin" in headers:
        return not _is_foreign(headers)
    return request.method in ("GET", "HEAD") and not request.path.startswith(_TREE)


def tokens_of_page(cookies: bytes) -> set[str]:
    """The values of the dashboard's cookie in a request's Cookie header.

    All ports of a host share its cookies, so there may be other cookies, however odd, and even several of this name.
    They are parsed by RFC 6265, section 4.2.1, and a malformed cookie does not affect the next one. `http.cookies`
    would stop at the first cookie that it does not understand.
    """
    pairs = (pair.partition(b"=") for pair in cookies.split(b";"))
    return {value.strip().decode("latin-1") for name, _, value in pairs if name.strip() == COOKIE}


def _is_in_advance(headers: Headers) -> bool:
    return b"sec-purpose" in headers or any(headers.get(name, b"").lower() in _ADVANCE for name in _PURPOSES)


def _is_opened(headers: Headers) -> bool:
    """Whether the browser opens this address in a window or a frame, or as a WebSocket."""
    return headers.get(b"sec-fetch-mode") in _OPENS or headers.get(b"sec-fetch-dest") in _FRAMES


def _is_foreign(headers: Headers) -> bool:
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        # "none" means that no page sent it. `check_site` has let through before this what a person may open.
        return site != b"same-origin"
    origin = headers.get(b"origin")
    return origin is not None and not _is_same(origin, headers.get(b"host"))


def _is_same(origin: bytes, host: bytes | None) -> bool:
    try:
        return host is not None and urlsplit(origin.decode("latin-1")).netloc.lower() == host.decode("latin-1").lower()
    except ValueError:
        return False
