"""Pages of HTML that look like the dashboard: the documentation, and what a browser sees instead of a problem."""

from html import escape

import orjson

from boss.http.request import Request
from boss.http.response import NO_STORE, Header, Response

_POLICY = (
    b"default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The headers of a problem that a page has in its own way.
_REPLACED = (b"content-type", b"cache-control")
HEADERS: list[Header] = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]


def page(title: str, navigation: str, main: str) -> bytes:
    """A page; all three are HTML."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="/page/icon.svg">'
        '<link rel="stylesheet" href="/page/style.css"><link rel="stylesheet" href="/page/docs.css">'
        '<body class="docs"><header><a class="brand" href="/">'
        f'<img src="/page/icon.svg" alt="" width="28" height="28">Boss</a>{navigation}</header>'
        f"<main>{main}</main></html>\n"
    ).encode()


def for_person(request: Request, problem: Response) -> Response:
    """The same problem as a page, when a person has opened the address in a browser."""
    if not _is_opened_by_person(request):
        return problem
    said = orjson.loads(problem.body)
    headers = [*HEADERS, NO_STORE, *(each for each in problem.headers if each[0] not in _REPLACED)]
    text = (
        f"<section><h1>{escape(said['title'])}</h1><p>{escape(said['detail'])}.</p>"
        '<p class="links"><a href="/">Open the dashboard</a> <a href="/docs">See every request</a></p></section>'
    )
    return problem._replace(headers=headers, body=page(escape(said["title"]), "", text))


def _is_opened_by_person(request: Request) -> bool:
    """Over plain HTTP browsers tell other machines nothing of what they fetch, but ask for HTTPS when they open a page.

    Without that the type would not tell: Java's own client accepts text/html, too.
    """
    kind = request.header(b"sec-fetch-dest")
    opened = request.header(b"upgrade-insecure-requests") == "1" if kind is None else kind == "document"
    return opened and "text/html" in (request.header(b"accept") or "")
