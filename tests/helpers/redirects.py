"""A server that redirects."""

import json
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler


class _Redirecting(BaseHTTPRequestHandler):
    """`/to/…` leads to that path of Boss; every other address has a page with this text in it."""

    def __init__(self, boss: str, *args: object) -> None:
        self._boss = boss
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = self.path
        redirects = path.startswith("/to/")
        name = path.removeprefix("/").partition("?")[0]
        body = b"" if redirects else (RULES | PAGES).get(name, "").replace("{boss}", self._boss).encode()
        self.send_response(302 if redirects else 200)
        if redirects:
            self.send_header("location", self._boss + path.removeprefix("/to"))
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def rules(kind: str) -> str:
    """A page whose script asks the browser to fetch a take in advance, without a click."""
    eager = {"source": "list", "urls": ["{boss}/job/available?wait=0", "{boss}/job/available/freg"]}
    text = json.dumps({kind: [{**eager, "eagerness": "immediate"}]})
    return f'<!doctype html><title>rules</title><script type="speculationrules">{text}</script>'


RULES = {kind: rules(kind) for kind in ("prefetch", "prerender")}


# What a page elsewhere can have a browser fetch or open; each asks for a take.
PAGES = {
    "link": '<!doctype html><link rel="prefetch" href="{boss}/job/available">'
    '<link rel="preload" as="fetch" href="{boss}/job/available" crossorigin="use-credentials">'
    '<link rel="prerender" href="{boss}/job/available"><link rel="modulepreload" href="{boss}/job/available">'
    '<link rel="icon" href="{boss}/job/available"><link rel="manifest" href="{boss}/job/available">',
    "refresh": '<!doctype html><meta http-equiv="refresh" content="0; url={boss}/job/available">',
    "location": "<!doctype html><script>location.href = '{boss}/job/available'</script>",
    "window": "<!doctype html><script>open('{boss}/job/available')</script>",
    "frames": '<!doctype html><iframe src="{boss}/job/available"></iframe><object data="{boss}/job/available"></object>'
    '<embed src="{boss}/job/available"><iframe src="/to/job/available"></iframe>',
    "form": '<!doctype html><form method="post" action="{boss}/job/active"></form>'
    "<script>document.forms[0].submit()</script>",
    "worker": "<!doctype html><script>"
    "try { new Worker('{boss}/job/available') } catch {} try { new SharedWorker('{boss}/job/available') } catch {}"
    "try { new WebSocket('{boss}/job/available'.replace('http', 'ws')) } catch {}"
    "fetch('/to/job/available', {mode: 'no-cors', credentials: 'include'});"
    "fetch('{boss}/job/available', {mode: 'no-cors', credentials: 'include', keepalive: true})</script>",
}


def redirecting_to(boss: str) -> Callable[..., BaseHTTPRequestHandler]:
    """The pages of a web site that wishes this Boss ill."""
    return partial(_Redirecting, boss)
