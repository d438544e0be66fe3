"""The dashboard: the files in this folder, served as they are.

It uses the same resources as any other client, and `/watch`. It needs no build and loads nothing from other sites, so
it works without internet. Its content security policy forbids everything else.
"""

import hashlib
from collections.abc import Sequence
from importlib.resources import files

from boss.http import parameters
from boss.http.auth import requires
from boss.http.request import Request
from boss.http.resource import Handler, Resource
from boss.http.response import Response
from boss.model.permissions import Permission

_TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # A browser keeps the file, but revalidates it each time. So after an upgrade no browser mixes old and new files.
    (b"cache-control", b"no-cache"),
)


def resources() -> Sequence[Resource]:
    """One route for each file; `/` is index.html."""
    folder = files("boss.http") / "dashboard"
    names = sorted(each.name for each in folder.iterdir() if each.name.rpartition(".")[2] in _TYPES)
    return [
        Resource("/" if name == "index.html" else f"/page/{name}", {"GET": _file(name, (folder / name).read_bytes())})
        for name in names
    ]


def _file(name: str, text: bytes) -> Handler:
    etag = f'"{hashlib.sha256(text).hexdigest()[:16]}"'.encode()
    headers = [(b"content-type", _TYPES[name.rpartition(".")[2]]), (b"etag", etag), *_HEADERS]

    @requires(Permission.PUBLIC)
    async def get(request: Request) -> Response:
        """GET / and /page/…: a file of the dashboard; 304 when the client has it."""
        request.query()
        if parameters.has_tag(request.header(b"if-none-match"), etag.decode()):
            return Response(304, headers)
        return Response(200, headers, text)

    return get
