"""The page of a source."""

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.helpers.page import IN_BROWSER, browser, page
from tests.helpers.requests import submit

__all__ = ["browser", "page"]  # fixtures

pytestmark = IN_BROWSER


def tile(page: Page, name: str) -> Locator:
    return (
        page.get_by_role("region", name="Jobs", exact=True)
        .locator(".tile")
        .filter(has=page.get_by_text(name, exact=True))
    )


def test_its_numbers_and_ways_to_its_jobs(page: Page, client: httpx.Client, source: str) -> None:
    first, *_ = (submit(client, source) for _ in range(4))
    submit(client, source, delay=500)
    client.put(f"/source/{source}", json={"limit": 7})
    page.goto(f"/#/source/{source}")
    client.get(f"/job/available/{source}")
    for name, number, more in (
        ("Ready", "3", ""),
        ("Delayed", "1", "0 after others"),
        ("Active", "1", "of at most 7"),
        ("Done", "0", ""),
    ):
        expect(tile(page, name).locator("b")).to_have_text(number)
        expect(tile(page, name).locator(".note")).to_have_text(more)
    expect(tile(page, "Converters")).to_contain_text("in the last 90 s")
    client.post(f"/job/done/{source}/{first}?outcome=failed", json={"error": "no column a"})
    expect(tile(page, "Failed, last hour")).to_contain_text("1 in a day")
    page.get_by_role("button", name="Read again").click()
    failures = page.get_by_role("region", name="Failed in the last day")
    failures.get_by_role("link", name="no column a").click()
    expect(page.get_by_role("link", name=first)).to_be_visible()


def test_why_it_needs_attention(page: Page, client: httpx.Client, source: str) -> None:
    submit(client, source)
    page.goto(f"/#/source/{source}")
    needs = page.get_by_role("region", name="Needs attention")
    expect(tile(page, "Ready").locator("b")).to_have_text("1")
    expect(needs).to_be_hidden()
    client.put(f"/source/{source}", json={"paused": True, "limit": 3})
    expect(needs).to_contain_text("paused")
    expect(tile(page, "Ready").locator("b")).to_have_text("0")
    expect(tile(page, "Ready").locator(".note")).to_have_text("1 paused")
    expect(tile(page, "Oldest paused").locator("time")).to_be_visible()
    # Somebody else has set the rule, and the page shows it.
    expect(page.get_by_role("region", name="Rule")).to_contain_text("at most 3 active")
    # Of what the feed does not say, the page learns when somebody comes back to it, and the form when it opens.
    client.put(f"/source/{source}", json={"paused": True, "limit": 3, "attempts": 4})
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_role("region", name="Rule")).to_contain_text("4 attempts")
    page.goto("/#/sources")
    client.put(f"/source/{source}", json={"paused": True, "limit": 3, "attempts": 5})
    page.go_back()
    expect(page.get_by_role("region", name="Rule")).to_contain_text("5 attempts")
    client.put(f"/source/{source}", json={"paused": True, "limit": 3, "attempts": 6})
    page.get_by_role("button", name="Edit the rule").click()
    expect(page.get_by_label("Attempts of a job")).to_have_value("6")
    page.get_by_role("button", name="Cancel").click()
    needs.get_by_role("button", name=f"Resume {source}").click()
    expect(needs).to_be_hidden()
    expect(page.get_by_role("region", name="Rule")).not_to_contain_text("paused")
