"""The dashboard in a real browser."""

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, sync_playwright

from tests.helpers.browser import LAUNCH

Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def browser(postgres: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**LAUNCH)
        yield browser
        browser.close()


def opened(browser: Browser, url: str, scheme: Scheme = "light") -> Iterator[Page]:
    page = browser.new_page(base_url=url, color_scheme=scheme)
    page.set_default_timeout(20_000)
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


def row(page: Page, source: str) -> Locator:
    return page.locator(".tree tbody tr").filter(has=page.get_by_role("button", name=source, exact=True))


def press(page: Page, name: str) -> None:
    """A button, and then the one that confirms."""
    page.get_by_role("main").get_by_role("button", name=name, exact=True).click()
