"""The dashboard by the keyboard alone."""

import httpx
from playwright.sync_api import Page, expect

from tests.helpers.page import IN_BROWSER, browser, job_rows, page
from tests.helpers.requests import submit

__all__ = ["browser", "page"]  # fixtures

pytestmark = IN_BROWSER


def test_through_a_list_into_a_job_and_back(page: Page, client: httpx.Client, source: str) -> None:
    ids = sorted((submit(client, source) for _ in range(4)), reverse=True)
    page.goto(f"/#/jobs?source={source}")
    expect(job_rows(page)).to_have_count(4)
    for key, place in (("j", 0), ("j", 1), ("j", 2), ("k", 1), ("k", 0), ("k", 0)):
        page.keyboard.press(key)
        expect(page.get_by_role("link", name=ids[place])).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name=ids[1])).to_be_visible()
    page.go_back()
    page.keyboard.press("j")
    expect(page.get_by_role("link", name=ids[2])).to_be_focused()


def test_through_rows_without_links(page: Page, client: httpx.Client, source: str) -> None:
    for name in (f"{source}-a", f"{source}-b"):
        client.get(f"/job/available/{source}", headers={"boss-converter": name})
        client.put(f"/schedule/{name}", json={"source": source, "cron": "0 3 * * *"})
    for address in ("converters", "schedules", "audit"):
        page.goto(f"/#/{address}")
        expect(job_rows(page).nth(1)).to_be_visible(timeout=20_000)
        for key, place in (("j", 0), ("j", 1), ("k", 0)):
            page.keyboard.press(key)
            expect(job_rows(page).nth(place)).to_be_focused()
    page.goto("/#/schedules")
    expect(job_rows(page).nth(1)).to_be_visible()
    page.keyboard.press("j")
    page.keyboard.press("Tab")  # from the row to what it has
    expect(job_rows(page).first.get_by_role("link").first).to_be_focused()


def test_the_list_of_keys(page: Page, client: httpx.Client) -> None:
    page.goto("/#/sources")
    expect(page.get_by_role("heading", level=1, name="Sources")).to_be_visible()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("The next row")
    page.keyboard.press("j")  # behind a dialog nothing moves
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Keys").click()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)


def test_in_a_field_keys_are_letters(page: Page, client: httpx.Client) -> None:
    page.goto("/#/sources")
    search = page.get_by_role("searchbox", name="Find a job")
    expect(search).to_be_visible()
    page.keyboard.press("/")
    expect(search).to_be_focused()
    page.keyboard.type("jk?/x")
    expect(search).to_have_value("jk?/x")
    page.keyboard.press("Escape")
    expect(search).not_to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
