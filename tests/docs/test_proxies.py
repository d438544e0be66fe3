"""The proxies of docs/proxies.md pass Boss's responses on unchanged, only once, and however long they take."""

import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

from boss.settings import Settings
from tests.helpers.browser import LAUNCH
from tests.helpers.databases import new_database, value_in
from tests.helpers.events import news
from tests.helpers.jobs import record
from tests.helpers.page import row
from tests.helpers.programs import PROGRAMS, code_of
from tests.helpers.proxies import PROXIES, client_of, configuration, proxying
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import boss_running, until
from tests.helpers.sites import needs_chromium
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow

# How long the converters on the page wait, in seconds.
_WAIT_S = 50


class Pair(NamedTuple):
    """Two replicas on a database."""

    ports: tuple[int, int]
    database: str


@pytest.fixture(scope="module")
def pair(postgres: str) -> Iterator[Pair]:
    for url in new_database(postgres):
        with boss_running("--database", url) as one, boss_running("--database", url) as two:
            yield Pair((one.port, two.port), url)


@pytest.fixture(params=PROXIES)
def port(request: pytest.FixtureRequest, pair: Pair, tmp_path: Path) -> Iterator[int]:
    with proxying(request.param, pair.ports, tmp_path) as port:
        yield port


@pytest.fixture
def through(port: int) -> Iterator[httpx.Client]:
    with client_of(port) as client:
        yield client


def seconds(name: str, word: str) -> int:
    [found] = re.findall(rf"^ *{word} (\d+)s", configuration(name), re.MULTILINE)
    return int(found)


def test_their_times_fit_those_of_boss() -> None:
    for name, word in (("nginx", "proxy_read_timeout"), ("haproxy", "timeout client"), ("haproxy", "timeout server")):
        assert seconds(name, word) > _WAIT_S + 15
    for name, word in (
        ("nginx", "keepalive_timeout"),
        ("haproxy", "timeout http-keep-alive"),
        ("caddyfile", "keepalive"),
    ):
        assert seconds(name, word) <= Settings.header_timeout - 15
    assert seconds("haproxy", "default-server check inter 2s pool-purge-delay") < Settings.header_timeout


@pytest.mark.long
def test_a_take_waits_as_long_as_the_documented_ones_and_the_feed_goes_on(pair: Pair, tmp_path: Path) -> None:
    assert all(f"?wait={_WAIT_S}" in code_of(language) for language in PROGRAMS)
    installed = [name for name, proxy in PROXIES.items() if shutil.which(proxy.program)]
    if not installed:
        pytest.skip("no proxy is installed here")
    with ExitStack() as stack, ThreadPoolExecutor(len(installed)) as threads:
        clients, feeds = [], []
        for name in installed:
            (tmp_path / name).mkdir()
            port = stack.enter_context(proxying(name, pair.ports, tmp_path / name))
            clients.append(stack.enter_context(client_of(port)))
            feeds.append(news(stack.enter_context(clients[-1].stream("GET", "/watch"))))
        for feed in feeds:
            assert "counts" in next(feed)
        answers = threads.map(lambda client: client.get(f"/job/available/none?wait={_WAIT_S}"), clients)
        for name, answer in zip(installed, answers, strict=True):
            assert (answer.status_code, answer.headers.get("boss-state")) == (404, "none"), name
            assert answer.elapsed.total_seconds() >= _WAIT_S
        submit(clients[0], "after-it")
        for feed in feeds:
            assert next(event for event in feed if "after-it" in event.get("counts", {}))


def test_the_feed_comes_at_once(through: httpx.Client, source: str) -> None:
    """Also to who takes compressed answers, as browsers do."""
    with through.stream("GET", "/watch", headers={"accept-encoding": "gzip"}) as answer:
        feed = news(answer)
        next(feed)
        submit(through, source)
        assert next(event for event in feed if source in event.get("counts", {}))


def test_large_bodies_pass_and_boss_says_what_is_too_large(through: httpx.Client, source: str, tmp_path: Path) -> None:
    document = json.dumps({"text": "x" * 1_040_000})
    id = submit(through, source, document)
    taken = through.get(f"/job/available/{source}")
    assert (taken.json()["id"], len(taken.json()["job"]["text"])) == (id, 1_040_000)
    assert through.post(f"/job/done/{source}/{id}", content=document).status_code == 200
    lines = "".join(f'{{"text": "{"x" * 100_000}"}}\n' for _ in range(150))
    batch = through.post(f"/job/available/{source}", content=lines, headers={"content-type": "application/x-ndjson"})
    assert (batch.status_code, len(batch.text.splitlines())) == (201, 150)
    assert_problem(through.post(f"/job/available/{source}", content=b"x" * 1_100_000), 413, "1048576 bytes")
    assert_problem(through.post(f"/job/available/{source}", content=b"x" * 20_000_000), 413, "1048576 bytes")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed here")
def test_expect_100_continue(through: httpx.Client, source: str) -> None:
    command = ["curl", "-sSk", "-m", "30", "-H", "Expect: 100-continue", "-d", '{"a": 1}', "-w", " %{http_code}"]
    for version in ("--http1.1", "--http2"):
        url = f"{through.base_url}/job/available/{source}"
        said = subprocess.run([*command, version, url], capture_output=True, text=True)
        assert said.stdout.endswith(" 201"), said


def test_what_it_compresses_can_be_finished(through: httpx.Client, source: str) -> None:
    id = submit(through, source, json.dumps({"text": "x" * 10_000}))
    taken = through.get(f"/job/available/{source}", headers={"accept-encoding": "gzip"})
    assert len(taken.json()["job"]["text"]) == 10_000
    assert taken.headers["etag"] in ('"1"', 'W/"1"')
    held = {"if-match": taken.headers["etag"]}
    assert through.head(f"/job/active/{source}/{id}", headers=held).status_code == 200
    assert through.post(f"/job/done/{source}/{id}", headers=held).status_code == 200


@pytest.mark.long
def test_a_taker_that_hung_up_gets_no_job(port: int, pair: Pair, source: str) -> None:
    def waiting() -> int:
        """On how many replicas somebody waits."""
        return int(value_in(pair.database, "SELECT count(*) FROM waiting"))

    until(lambda: waiting() == 0)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as taker:
        taker.sendall(f"GET /job/available/{source}?wait=50 HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
        until(lambda: waiting() == 1)
    until(lambda: waiting() == 0)
    with client_of(port) as other:
        id = submit(other, source)
        taken = other.get(f"/job/available/{source}")
        assert (taken.json()["id"], taken.headers["etag"].removeprefix("W/")) == (id, '"1"')
        assert record(other, id)["history"] == []


@needs_chromium
@pytest.mark.parametrize("name", PROXIES)
def test_who_signs_in_by_tls_sees_the_page(name: str, database: str, tmp_path: Path) -> None:
    with (
        boss_running("--database", database) as boss,
        boss.client() as client,
        proxying(name, (boss.port, boss.port), tmp_path) as port,
        sync_playwright() as playwright,
    ):
        # Without tokens, the proxy on this machine lets nobody from elsewhere in.
        headers = {"host": f"boss.example:{port}"}
        with client_of(port) as elsewhere:
            assert elsewhere.get("/job", headers=headers).status_code in (403, 421)
        token = create(client, "root", "admin")
        client.headers["authorization"] = f"Bearer {token}"
        submit(client, "freg")
        rules = "--host-resolver-rules=MAP boss.example 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=LAUNCH["executable_path"], args=[*LAUNCH["args"], rules])
        with browser.new_context(base_url=f"https://boss.example:{port}", ignore_https_errors=True) as context:
            page = context.new_page()
            page.goto("/")
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Sign in").click()
            expect(row(page, "freg")).to_be_visible()
            page.reload()
            expect(row(page, "freg")).to_be_visible()
            [cookie] = [each for each in context.cookies() if each.get("name") == "boss_token"]
            assert cookie.get("secure")
            # The feed comes through.
            submit(client, "sirius")
            expect(row(page, "sirius")).to_be_visible()
        browser.close()
