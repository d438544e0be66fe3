"""Requests that a browser says come from no page at all: only the dashboard and the documentation may be opened."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.helpers.databases import new_database
from tests.helpers.redirects import PAGES, RULES, redirecting_to
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.sites import browser, needs_chromium, serving
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow

__all__ = ["browser"]  # a fixture


def site(boss: str) -> AbstractContextManager[int]:
    """The port of that web site."""
    return serving(redirecting_to(boss))


@pytest.fixture(scope="module")
def signed_in(browser: Browser, postgres: str) -> Iterator[tuple[BossProcess, BrowserContext, httpx.Client]]:
    """A Boss with jobs, a browser in which its admin is signed in, and a client with the admin's token."""
    for url in new_database(postgres):
        with boss_running("--database", url) as boss, boss.client() as client:
            token = create(client, "root", "admin")
            client.headers["authorization"] = f"Bearer {token}"
            for _ in range(3):
                submit(client, "freg")
            context = browser.new_context()
            page = context.new_page()
            page.goto(boss.url)
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("button", name="Sign out").wait_for()
            page.close()
            yield boss, context, client
            context.close()


def refused(client: httpx.Client) -> float:
    """How many requests Boss has refused for where they come from."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith('boss_requests_refused_total{problem="forb'))


def taken(client: httpx.Client) -> int:
    return len(client.get("/jobs?state=active").json()["jobs"])


@needs_chromium
@pytest.mark.parametrize("way", [*PAGES, "to/job/available", "to/job/available/freg?wait=1"])
def test_a_foreign_page_takes_nothing_without_a_click(
    signed_in: tuple[BossProcess, BrowserContext, httpx.Client], way: str
) -> None:
    """Its pages are opened from outside a page, as by another program: so what they redirect to comes from nowhere."""
    boss, context, client = signed_in
    with site(boss.url) as port:
        open_and_see(context, f"http://evil.example:{port}/{way}", client)


@needs_chromium
@pytest.mark.parametrize("kind", RULES)
def test_nothing_is_taken_in_advance(
    browser: Browser,
    signed_in: tuple[BossProcess, BrowserContext, httpx.Client],
    module_boss: BossProcess,
    kind: str,
) -> None:
    """Chromium sends the cookie from another port of this machine; from another machine's page it sends none."""
    boss, context, client = signed_in
    with site(boss.url) as port:
        open_and_see(context, f"http://127.0.0.1:{port}/{kind}", client)
    with module_boss.client() as client, site(module_boss.url) as port, browser.new_context() as context:
        submit(client, "freg")
        open_and_see(context, f"http://evil.example:{port}/{kind}", client)


def open_and_see(context: BrowserContext, address: str, client: httpx.Client) -> None:
    """Open a page of a hostile site until Boss has heard of it; nothing is taken."""
    before = refused(client)
    page = context.new_page()
    page.goto(address, wait_until="commit")
    until(lambda: refused(client) > before or taken(client) > 0)
    page.wait_for_timeout(300)  # for what a page asks for besides
    page.close()
    assert taken(client) == 0


@needs_chromium
@pytest.mark.parametrize("path", ["/job/available", "/jobs", "/job", "/metrics", "/health", "/token", "/page/app.js"])
def test_what_is_typed_or_bookmarked_opens_nothing_else(
    signed_in: tuple[BossProcess, BrowserContext, httpx.Client], path: str
) -> None:
    boss, context, client = signed_in
    page = context.new_page()
    for address in (f"{boss.url}{path}", f"view-source:{boss.url}{path}"):
        assert status_of(page, address) == 403
    assert taken(client) == 0
    page.close()


@needs_chromium
def test_the_page_and_the_documentation_open_from_anywhere(
    signed_in: tuple[BossProcess, BrowserContext, httpx.Client],
) -> None:
    boss, context, _ = signed_in
    page = context.new_page()
    with site(boss.url) as port:
        for path in ("/docs", "/openapi.json", "/"):
            assert status_of(page, f"http://evil.example:{port}/to{path}") == 200
    footer(page)
    page.close()


def status_of(page: Page, address: str) -> int:
    """Open an address; return the status of the response."""
    answer = page.goto(address)
    assert answer is not None
    return answer.status


def footer(page: Page) -> None:
    """What the dashboard links to, it shows itself, for the cookie counts for its own requests only."""
    page.get_by_role("link", name="Metrics").click()
    expect(page.get_by_role("heading", name="Metrics")).to_be_visible()
    expect(page.locator("pre")).to_contain_text("boss_jobs{")
    page.get_by_role("link", name="Health").click()
    expect(page.get_by_role("heading", name="Health")).to_be_visible()
    expect(page.locator("pre")).to_contain_text('"verdict"')
    page.get_by_role("link", name="Every request").click()
    page.get_by_role("link", name="As OpenAPI").click()
    expect(page.get_by_text('"openapi": "3.1.0"')).to_be_visible()


@needs_chromium
def test_who_opens_another_address_is_told_so_by_a_page(
    signed_in: tuple[BossProcess, BrowserContext, httpx.Client],
) -> None:
    boss, context, client = signed_in
    page = context.new_page()
    for path in ("/metrics", "/job/available/freg", "/job/available/<b>some</b>"):
        assert status_of(page, f"{boss.url}{path}") == 403
        expect(page.get_by_role("heading", name="That is not allowed")).to_be_visible()
        expect(page.get_by_text("A browser may open only the dashboard")).to_be_visible()
        assert page.evaluate("getComputedStyle(document.querySelector('section')).borderRadius") == "12px"
        assert Axe().run(page).response["violations"] == []
    page.get_by_role("link", name="Open the dashboard").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.close()
    # A program gets the problem as ever.
    refused = client.get("/metrics", headers={"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"})
    assert_problem(refused, 403, "may open only the dashboard|not Boss's own")


@needs_chromium
def test_who_opens_an_unknown_address_is_told_so_by_a_page(
    browser: Browser, signed_in: tuple[BossProcess, BrowserContext, httpx.Client]
) -> None:
    """Also without a token. The page leads to the dashboard."""
    boss, _, _ = signed_in
    with browser.new_context() as context, site(boss.url) as port:
        page = context.new_page()
        for address in (f"{boss.url}/nosuch", f"{boss.url}/job/<b>no</b>", f"http://evil.example:{port}/to/nosuch"):
            assert status_of(page, address) == 404
            expect(page.get_by_role("heading", name="There is no resource at this path")).to_be_visible()
            assert Axe().run(page).response["violations"] == []
        page.get_by_role("link", name="Open the dashboard").click()
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_only_a_window_is_told_which_paths_exist(client: httpx.Client) -> None:
    opened = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    for path in ("/nosuch", "/jobs"):
        assert_problem(client.get(path, headers={**opened, "sec-purpose": "prefetch"}), 403, "in advance")
    assert_problem(client.get("/nosuch", headers={**opened, "sec-fetch-dest": "iframe"}), 403, "may open only")
    assert_problem(client.get("/nosuch", headers=opened), 404, "documentation is at /docs")


def test_a_browser_on_another_machine_sees_a_page_over_plain_http(client: httpx.Client) -> None:
    """It sends no fetch metadata there."""
    accept = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    opened = client.get("/nosuch", headers={**accept, "upgrade-insecure-requests": "1"})
    assert (opened.status_code, opened.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert 'href="/"' in opened.text
    assert_problem(client.get("/nosuch", headers=accept), 404, "documentation is at /docs")
