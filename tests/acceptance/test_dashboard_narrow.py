"""The dashboard on a screen 320 pixels wide, as a phone's, scrolls only downwards (WCAG 2.1, 1.4.10)."""

import shutil
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.helpers.browser import LAUNCH
from tests.helpers.page import TOO_WIDE, browser, opened, row
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess

__all__ = ["browser"]  # a fixture

pytestmark = pytest.mark.skipif(
    not shutil.which(LAUNCH["executable_path"]), reason="chromium (Debian's package) is not installed here"
)
WIDTH = 320
# Fills in large numbers, instead of submitting so many jobs.
MANY = """() => document.querySelectorAll(".all-sources td.number, .tile b").forEach((each) => {
    each.textContent = "12,345,678";
})"""
LONG = "a-name-as-long-as-one-can-be-which-is-a-hundred-characters-of-letters-digits-and-hyphens-1234567890-12"[:100]


@pytest.fixture
def page(browser: Browser, module_boss: BossProcess) -> Iterator[Page]:
    for page in opened(browser, module_boss.url):
        page.set_viewport_size({"width": WIDTH, "height": 640})
        yield page


@pytest.mark.parametrize("name", ["freg", LONG])
def test_no_view_scrolls_sideways(page: Page, client: httpx.Client, source: str, name: str) -> None:
    name = f"{source}-{name}"[:100]
    failed, active, available, given = (submit(client, name, '{"a": "%s"}' % ("x" * 300), attempts=1) for _ in range(4))
    client.get(f"/job/available/{name}?limit=2")
    client.request("DELETE", f"/job/active/{name}/{failed}", content='{"error": "no-column-%s"}' % ("a" * 300))
    client.put(f"/schedule/{source}-nightly", json={"source": name, "cron": "0 3 * * *"})
    page.reload()
    expect(row(page, name)).to_be_visible()
    assert page.evaluate(TOO_WIDE) == []
    page.evaluate(MANY)
    assert page.evaluate(TOO_WIDE) == []
    for id in (failed, active, available, given):
        page.goto(f"/#/job/{id}")
        expect(page.get_by_role("heading", name=id)).to_be_visible()
        assert page.evaluate(TOO_WIDE) == []
    for view in ("sources", "active", "failed", "failed?group=reason", "jobs", "schedules", "audit", f"source/{name}"):
        page.goto(f"/#/{view}")
        expect(page.get_by_role("main")).to_contain_text("set a schedule" if view == "audit" else source)
        assert page.evaluate(TOO_WIDE) == []
    for view in ("metrics", "health"):
        page.goto(f"/#/{view}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_text("boss_jobs" if view == "metrics" else "autovacuum are on").first).to_be_visible()
        assert page.evaluate(TOO_WIDE) == []
    page.get_by_role("button", name="Submit a job").click()
    assert page.evaluate(TOO_WIDE) == []
    page.goto("/docs")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate(TOO_WIDE) == []


def test_sources_are_sorted_without_headings(page: Page, client: httpx.Client, source: str) -> None:
    for number in range(3):
        for _ in range(number + 1):
            submit(client, f"{source}-{number}")
    for address, column in (("#/", "Ready"), ("#/sources", "Available")):
        page.goto(f"/{address}")
        page.get_by_label("Show only sources").fill(source)
        names = page.locator("table.list:visible tbody a.go")
        sort = page.get_by_role("combobox", name="Sort by")
        sort.select_option(f"{column} ↑")
        expect(names).to_have_text([f"{source}-{number}" for number in (0, 1, 2)])
        sort.select_option(f"{column} ↓")
        expect(names).to_have_text([f"{source}-{number}" for number in (2, 1, 0)])
        sort.select_option("Source ↓")
        page.reload()  # the address has it
        expect(page.get_by_role("combobox", name="Sort by")).to_have_value("-source")
        expect(names).to_have_text([f"{source}-{number}" for number in (2, 1, 0)])
        assert page.evaluate(TOO_WIDE) == []
        page.set_viewport_size({"width": 1440, "height": 900})
        expect(page.get_by_role("combobox", name="Sort by")).to_be_hidden()  # the headings sort
        page.set_viewport_size({"width": WIDTH, "height": 640})
