"""The dashboard in a real browser."""

import shutil
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, expect, sync_playwright

from tests.helpers.browser import LAUNCH
from tests.helpers.servers import BossProcess

# How long a test waits for what a page should show, in milliseconds: long enough for a busy machine.
_PATIENCE = 20_000
expect.set_options(timeout=_PATIENCE)

Scheme = Literal["light", "dark"]
# Whatever is wider than the screen, but what has a scroll bar of its own.
TOO_WIDE = """() => [document.documentElement, ...document.querySelectorAll("body, body *")]
    .filter((each) => each.getBoundingClientRect().right > innerWidth + 0.5)
    .filter((each) => !each.closest(".unseen, .skip, svg") && !each.parentElement?.closest(".json, .lines, pre"))
    .map((each) => `${each.tagName}.${each.className} ${each.textContent.slice(0, 40)}`)"""
# What each module of these tests is marked with.
IN_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which(LAUNCH["executable_path"]), reason="chromium (Debian's package) is not installed here"
    ),
]


@pytest.fixture(scope="module")
def browser(postgres: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**LAUNCH)
        yield browser
        browser.close()


def opened(browser: Browser, url: str, scheme: Scheme = "light") -> Iterator[Page]:
    page = browser.new_page(base_url=url, color_scheme=scheme)
    page.set_default_timeout(_PATIENCE)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if "Security Policy" in message.text else None)

    def elsewhere(request: Request) -> None:
        if not request.url.startswith(f"{url}/"):
            wrong.append(request.url)

    page.on("request", elsewhere)
    page.goto("/")
    yield page
    page.close()
    assert wrong == []


@pytest.fixture
def page(browser: Browser, module_boss: BossProcess) -> Iterator[Page]:
    """The page of the module's Boss; whatever it complains of, or asks of anybody else, is an error."""
    yield from opened(browser, module_boss.url)


def row(page: Page, source: str) -> Locator:
    """The row of a source in the overview, with the numbers of ready and active jobs and of failed ones."""
    return page.locator(".all-sources tbody tr").filter(has=page.get_by_role("link", name=source, exact=True))


def numbers(page: Page, source: str) -> Locator:
    """The numbers in that row: ready, active, failed."""
    return row(page, source).locator("td.number:nth-child(-n + 4)")


def json_of(page: Page, part: str) -> Locator:
    """The tree of a job's document, result or note."""
    return page.get_by_role("region", name=part).locator(".json")


def job_rows(page: Page) -> Locator:
    """The rows of a list of jobs."""
    return page.get_by_role("main").locator("table.list tbody tr")


def to_overview(page: Page) -> None:
    page.get_by_role("navigation", name="Pages of Boss").get_by_role("link", name="Overview").click()


def press(page: Page, name: str) -> None:
    """A button, and then the one that confirms."""
    page.get_by_role("main").get_by_role("button", name=name, exact=True).click()
