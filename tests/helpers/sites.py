"""Web sites beside Boss's, and a browser that visits them."""

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.helpers.browser import LAUNCH

needs_chromium = pytest.mark.skipif(
    not shutil.which(LAUNCH["executable_path"]), reason="chromium (Debian's package) is not installed here"
)


@contextlib.contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[int]:
    """The port of a web server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def browser(postgres: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # As an attacker's name server would: their own names mean this machine.
        rules = ["--host-resolver-rules=MAP evil.example 127.0.0.1, MAP rebound.example 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=LAUNCH["executable_path"], args=[*LAUNCH["args"], *rules])
        yield browser
        browser.close()
