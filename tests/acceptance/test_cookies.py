"""The dashboard's cookie among others: to a browser, cookies belong to a host, and every port of it shares them."""

from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler

import pytest
from playwright.sync_api import Browser, expect

from tests.helpers.databases import new_database
from tests.helpers.page import row, to_overview
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, boss_running
from tests.helpers.sites import browser, needs_chromium, serving
from tests.helpers.tokens import create
from tests.helpers.wire import Wire

pytestmark = pytest.mark.slow

__all__ = ["browser"]  # a fixture

# What others set: none of it is a token.
OTHERS = [
    "a=1",
    "a=[1, 2]",
    'a="not closed',
    'a={"theme": "dark"}',
    "a=\xfc\xff",
    "\xe9=1",
    "a",
    "=a",
    "a=b=c",
    "a=\t",
    "boss_token_old=boss_x",
    "xboss_token=boss_x",
    "boss_token=",
    "boss_token=boss_unknown",
    'boss_token="[{\xff"',
]


@pytest.fixture(scope="module")
def signed_in(postgres: str) -> Iterator[tuple[BossProcess, str, str]]:
    """A Boss, and the tokens of an admin and of a converter."""
    for url in new_database(postgres):
        with boss_running("--database", url) as boss, boss.client() as client:
            token = create(client, "root", "admin")
            client.headers["authorization"] = f"Bearer {token}"
            submit(client, "freg")
            yield boss, token, create(client, "converts", "converter")


def session(boss: BossProcess, *lines: str) -> int:
    """The status of the answer to who is there, with these lines of cookies."""
    headers = ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"]
    with Wire(boss.port) as wire:
        return wire.request("GET", "/session", *headers, *(f"Cookie: {line}" for line in lines)).reply().status


@pytest.mark.parametrize("other", OTHERS)
def test_another_cookie_locks_nobody_out(signed_in: tuple[BossProcess, str, str], other: str) -> None:
    boss, token, _ = signed_in
    mine = f"boss_token={token}"
    for lines in (
        [f"{other}; {mine}"],
        [f"{mine}; {other}"],
        [f"{other};{mine};{other}"],
        [other, mine],
        [mine, other],
    ):
        assert session(boss, *lines) == 200, lines
    assert session(boss, other) == 401


def test_twice_the_same_token_is_that_token(signed_in: tuple[BossProcess, str, str]) -> None:
    boss, token, _ = signed_in
    assert session(boss, f"boss_token={token}; boss_token={token}") == 200


def test_of_two_tokens_that_count_none_does(signed_in: tuple[BossProcess, str, str]) -> None:
    """Somebody has planted theirs, and which of the two the person means nobody can tell."""
    boss, token, other = signed_in
    assert session(boss, f"boss_token={token}; boss_token={other}") == 401
    assert session(boss, f"boss_token={token}", f"boss_token={other}") == 401


class _Neighbour(BaseHTTPRequestHandler):
    """Another program's web server, on another port of the same machine."""

    def __init__(self, cookies: list[str], *args: object) -> None:
        self._cookies = cookies
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.send_response(200)
        for cookie in self._cookies:
            self.send_header("set-cookie", cookie)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@needs_chromium
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_neighbours_cookies_leave_the_page_alone(
    browser: Browser, signed_in: tuple[BossProcess, str, str], host: str
) -> None:
    boss, token, _ = signed_in
    named = [f"c{number}={cookie.partition('=')[2]}" for number, cookie in enumerate(OTHERS)]
    planted = ["boss_token=theirs; Path=/jobs", "boss_token=theirs; Path=/watch", "boss_token=theirs; Path=/"]
    with browser.new_context() as context, serving(partial(_Neighbour, [*named, *OTHERS, *planted])) as port:
        page = context.new_page()
        page.goto(f"http://{host}:{port}/")
        page.goto(f"http://{host}:{boss.port}/")
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        expect(row(page, "freg")).to_be_visible()
        row(page, "freg").get_by_role("link").click()
        expect(page.get_by_role("heading", level=1, name="freg")).to_be_visible()
        to_overview(page)
        page.reload()
        expect(row(page, "freg")).to_be_visible()
        sent = context.cookies(f"http://{host}:{boss.port}/jobs")
        assert len(sent) > 10
        assert [cookie["name"] for cookie in sent].count("boss_token") == 2
