"""Requests that a browser sends on behalf of another web site: none may do or show anything."""

import contextlib
import socket
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler

import httpx
import pytest
from playwright.sync_api import Browser

from tests.helpers.databases import new_database
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running
from tests.helpers.sites import browser, needs_chromium, serving
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow

__all__ = ["browser"]  # a fixture

# Everything that a page elsewhere can have a browser send without asking the server before, and what it asks for.
HOSTILE = """<!doctype html><title>hostile</title>
<img src="{boss}/job/available?x=img"><script src="{boss}/job/available"></script>
<link rel="stylesheet" href="{boss}/job/available"><link rel="prefetch" href="{boss}/job/available">
<iframe src="{boss}/job/available"></iframe><iframe src="{boss}/"></iframe>
<form id="form" target="frame" method="post" enctype="text/plain" action="{boss}/job/available/freg">
<input name='{{"a":"' value='"}}'></form><iframe name="frame"></iframe>
<form id="take" target="frame2" method="get" action="{boss}/job/available"></form><iframe name="frame2"></iframe>
<script>
const tries = [
  ["GET", "/job/available"], ["POST", "/job/available/freg", "{{}}"], ["POST", "/job/active"],
  ["POST", "/job/done/freg/victim?outcome=stopped"], ["HEAD", "/job/active/freg/victim"],
  ["DELETE", "/job/done?older=0"], ["PUT", "/source/freg", '{{"paused": true}}'],
  ["POST", "/token/evil", '{{"role": "admin"}}'], ["POST", "/session", '{{"token": "x"}}'], ["GET", "/jobs"],
  ["GET", "/job"], ["GET", "/token"], ["GET", "/metrics"],
];
document.getElementById("form").submit();
document.getElementById("take").submit();
navigator.sendBeacon("{boss}/job/available/freg", "{{}}");
new EventSource("{boss}/watch");
const open = [];
for (const mode of ["no-cors", "cors"])
  for (const [method, path, body] of tries)
    open.push(fetch("{boss}" + path, {{ method, body, mode, credentials: "include" }})
      .then((answer) => (answer.type === "opaque" ? null : answer.text()), () => null));
Promise.all(open).then((read) => {{ document.title = "read " + read.filter((text) => text !== null).length; }});
</script>"""


class _Site(BaseHTTPRequestHandler):
    """A web site with one page."""

    def __init__(self, page: str, *args: object) -> None:
        self._page = page
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        body = self._page.encode()
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def site(page: str) -> contextlib.AbstractContextManager[int]:
    """The port of a web server with this page at every address."""
    return serving(partial(_Site, page))


@pytest.fixture
def victim(module_boss: BossProcess) -> Iterator[httpx.Client]:
    """A client of a Boss with one job, `victim`, that nobody may touch."""
    with module_boss.client() as client:
        client.post("/job/available/freg/victim", content="{}")
        yield client


def everything(client: httpx.Client) -> tuple[str, object, str]:
    """All that a hostile page might have changed."""
    tokens = client.get("/token").json()["tokens"]
    for token in tokens:
        del token["used"]  # it is noted a moment after a request
    return client.get("/jobs?limit=1000").text, tokens, client.get("/audit").text


@needs_chromium
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost"])
def test_a_hostile_page_does_nothing_and_sees_nothing(
    browser: Browser, module_boss: BossProcess, victim: httpx.Client, host: str
) -> None:
    """Also from another port of this very machine, which to a browser is the same site."""
    before = everything(victim)
    asked: list[str] = []
    for name in ("127.0.0.1", "localhost"):
        boss = f"http://{name}:{module_boss.port}"
        with site(HOSTILE.format(boss=boss)) as port:
            page = browser.new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.goto(f"http://{host}:{port}/", wait_until="load")
            page.wait_for_function("document.title.startsWith('read')")
            page.wait_for_timeout(300)
            assert page.title() == "read 0"
            page.close()
    # It did try: the requests reached Boss, and Boss refused them.
    assert sum(f":{module_boss.port}/" in url for url in asked) > 40
    assert everything(victim) == before


@needs_chromium
def test_a_name_that_comes_to_mean_this_machine_is_none_of_ours(
    browser: Browser, module_boss: BossProcess, victim: httpx.Client
) -> None:
    """DNS rebinding: the page's own name means Boss, so that to the browser it is Boss's own page."""
    before = everything(victim)
    # The refusal is a page whose own policy lets it fetch nothing. One of the attacker's would have no such policy.
    page = browser.new_page(bypass_csp=True)
    answer = page.goto(f"http://rebound.example:{module_boss.port}/")
    assert answer is not None
    assert answer.status == 403
    for method, path in (("GET", "/job/available"), ("POST", "/job/available/freg"), ("GET", "/jobs")):
        status = page.evaluate(
            "([method, path]) => fetch(path, { method, body: method === 'POST' ? '{}' : undefined })"
            ".then((answer) => answer.status)",
            [method, path],
        )
        assert status == 403, path
    page.close()
    assert everything(victim) == before


@needs_chromium
def test_a_hostile_page_cannot_use_who_is_signed_in(browser: Browser, postgres: str) -> None:
    for url in new_database(postgres):
        with boss_running("--database", url) as boss, boss.client() as client:
            token = create(client, "root", "admin")
            client.headers["authorization"] = f"Bearer {token}"
            submit(client, "freg/victim")
            context = browser.new_context()
            page = context.new_page()
            page.goto(boss.url)
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("button", name="Sign out").wait_for()
            [cookie] = context.cookies()
            assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
            before = everything(client)
            for host in ("evil.example", "127.0.0.1"):
                with site(HOSTILE.format(boss=boss.url)) as port:
                    hostile = context.new_page()
                    hostile.goto(f"http://{host}:{port}/", wait_until="load")
                    hostile.wait_for_function("document.title.startsWith('read')")
                    assert hostile.title() == "read 0"
                    hostile.close()
            assert everything(client) == before
            context.close()


class TestHeaders:
    """The same, header by header."""

    @pytest.mark.parametrize(
        "headers",
        [
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"sec-fetch-site": "something new"},
            {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"origin": "http://127.0.0.1"},
            {"origin": "http://localhost.evil.example"},
        ],
    )
    def test_from_elsewhere_is_refused(self, victim: httpx.Client, headers: dict[str, str]) -> None:
        for method, path in (("GET", "/job/available"), ("POST", "/job/available/freg"), ("GET", "/jobs")):
            assert_problem(victim.request(method, path, headers=headers), 403, "web page that is not Boss's own")

    def test_from_boss_itself_is_not(self, module_boss: BossProcess, victim: httpx.Client) -> None:
        for headers in (
            {"sec-fetch-site": "same-origin"},
            {"origin": module_boss.url},
            {},
        ):
            assert victim.get("/jobs", headers=headers).status_code == 200

    def test_a_link_from_elsewhere_shows_the_page(self, victim: httpx.Client) -> None:
        link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        assert victim.get("/", headers=link).status_code == victim.get("/docs", headers=link).status_code == 200
        assert victim.post("/", headers=link).status_code == 403
        assert victim.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}).status_code == 403

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.1.2.3:8080", "[::ffff:8.8.8.8]"],
    )
    def test_under_a_name_that_is_not_this_machines_it_is_refused(self, victim: httpx.Client, host: str) -> None:
        assert_problem(victim.get("/jobs", headers={"host": host}), 403, "answers only to localhost")

    @pytest.mark.parametrize("host", ["localhost", "boss.localhost:1", "127.9.9.9", "[::1]:8080", "LOCALHOST"])
    def test_under_a_name_of_this_machine_it_is_not(self, victim: httpx.Client, host: str) -> None:
        assert victim.get("/jobs", headers={"host": host}).status_code == 200


def test_another_machine_is_served_only_with_a_token_or_when_open(database: str) -> None:
    """This machine's own address in the network stands for another machine: it is no loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no address but its loopback")
    with boss_running("--database", database, "--host", "0.0.0.0") as boss:
        there = f"http://{address}:{boss.port}"
        assert_problem(httpx.get(f"{there}/job"), 403, "serves its own machine only")
        with boss.client() as client:
            headers = {"authorization": f"Bearer {create(client, 'root', 'admin')}"}
        assert_problem(httpx.get(f"{there}/job"), 401, "needs a token")
        assert httpx.get(f"{there}/job", headers=headers).status_code == 200


def test_open_serves_everybody_and_says_so(database: str) -> None:
    with boss_running("--database", database, "--host", "0.0.0.0", "--open") as boss:
        boss.wait_for_log("EVERYBODY")
        assert httpx.get(f"{boss.url}/job", headers={"host": "boss.example"}).status_code == 200
        assert httpx.get(f"{boss.url}/job", headers={"sec-fetch-site": "cross-site"}).status_code == 403
