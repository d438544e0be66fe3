"""The dashboard's pages have addresses: a link leads to what was seen, and Back to where one was."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.helpers.page import IN_BROWSER, browser, job_rows, page
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess

__all__ = ["browser", "page"]  # fixtures

pytestmark = IN_BROWSER
PAGES = {
    "sources": "Sources",
    "active": "Active jobs",
    "failed": "Failed jobs",
    "jobs": "Jobs",
    "converters": "Converters",
    "schedules": "Schedules",
    "audit": "Audit",
    "metrics": "Metrics",
    "health": "Health",
}


def test_each_page_has_an_address_and_a_title(page: Page, client: httpx.Client, source: str) -> None:
    submit(client, source)
    for name, title in PAGES.items():
        page.goto(f"/#/{name}")
        page.reload()
        expect(page.get_by_role("heading", level=1, name=title)).to_be_visible()
        expect(page).to_have_title(f"{title} · Boss")
    page.goto(f"/#/source/{source}")
    expect(page).to_have_title(f"{source} · Boss")
    page.goto("/#/")
    expect(page).to_have_title("Boss")


def test_a_page_that_is_asked_for_at_once_knows_what_its_user_may_do(
    page: Page, client: httpx.Client, source: str
) -> None:
    held: list[Route] = []
    page.route("**/session", lambda route: held.append(route))
    page.reload()
    expect(page.get_by_text("Connecting")).to_be_visible()
    page.goto("/#/schedules")
    page.wait_for_timeout(300)
    for route in held:
        route.continue_()
    expect(page.get_by_role("button", name="New schedule")).to_be_visible()
    page.unroute("**/session")


def test_the_navigation_says_where_one_is(page: Page, client: httpx.Client, source: str) -> None:
    submit(client, source)
    pages = page.get_by_role("navigation", name="Pages of Boss")
    pages.get_by_role("link", name="Failed").click()
    expect(pages.get_by_role("link", name="Failed")).to_have_attribute("aria-current", "page")
    expect(page.locator("main")).to_be_focused()
    page.goto(f"/#/source/{source}")
    expect(pages.locator("[aria-current]")).to_have_text("Sources")


def test_on_a_phone_the_navigation_is_a_menu(page: Page, client: httpx.Client, source: str) -> None:
    submit(client, source)
    page.set_viewport_size({"width": 390, "height": 844})
    pages = page.get_by_role("navigation", name="Pages of Boss")
    expect(pages).to_be_hidden()
    menu = page.get_by_role("button", name="Menu")
    menu.click()
    expect(menu).to_have_attribute("aria-expanded", "true")
    pages.get_by_role("link", name="Schedules").click()
    expect(page.get_by_role("heading", level=1, name="Schedules")).to_be_visible()
    expect(pages).to_be_hidden()


def test_the_link_that_skips_leads_to_no_other_page(page: Page, client: httpx.Client) -> None:
    page.goto("/#/sources")
    page.get_by_role("link", name="Skip to the page").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    assert page.url.endswith("#/sources")


def test_a_filter_is_in_the_address(page: Page, client: httpx.Client, source: str) -> None:
    ids = [submit(client, source, attempts=1) for _ in range(3)]
    client.get(f"/job/available/{source}?limit=2")
    client.post(f"/job/done/{source}/{ids[0]}?outcome=failed", content='{"error": "no column a"}')
    page.goto("/#/jobs")
    page.get_by_label("Source").fill(source)
    page.get_by_label("Source").press("Enter")
    expect(job_rows(page)).to_have_count(3)
    expect(page.get_by_label("Source")).to_be_focused()
    page.get_by_label("State").select_option("active")
    expect(job_rows(page)).to_have_count(1)
    page.get_by_label("Words in the reason").fill("COLUMN a")
    page.get_by_label("Words in the reason").press("Enter")
    expect(job_rows(page)).to_contain_text(["no column a"])
    expect(page.get_by_label("State")).to_have_value("done")  # only done jobs have a reason
    page.get_by_label("Time").select_option("1h")
    address = page.url
    assert re.search(rf"#/jobs\?state=done&source={source}&reason=COLUMN\+a&last=1h$", address)
    page.goto("/")
    page.goto(address)  # as a colleague would
    expect(page.get_by_label("Words in the reason")).to_have_value("COLUMN a")
    expect(job_rows(page)).to_contain_text([ids[0]])
    page.get_by_role("link", name="Clear").click()
    expect(page.get_by_label("Source")).to_have_value("")


def test_a_time_between_is_one_of_the_zone_that_is_shown(page: Page, client: httpx.Client, source: str) -> None:
    submit(client, source)
    page.goto(f"/#/jobs?source={source}&since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z")
    expect(page.get_by_text("No job matches this filter")).to_be_visible()
    expect(page.get_by_label("From (local time)")).to_have_value(re.compile("2026-01-01T00:00"))
    page.get_by_label("Before").fill("2096-01-02T00:00:00")
    page.get_by_label("Before").press("Enter")
    expect(job_rows(page)).to_have_count(1)
    assert "until=2096-01-0" in page.url


def test_the_zone_changes_no_filter(
    browser: Browser, module_boss: BossProcess, client: httpx.Client, source: str
) -> None:
    submit(client, source)
    with browser.new_context(base_url=module_boss.url, timezone_id="Europe/Oslo") as oslo:
        page = oslo.new_page()
        page.goto(f"/#/jobs?source={source}&since=2026-01-01T12:00:00.250Z")
        expect(page.get_by_label("From (local time)")).to_have_value("2026-01-01T13:00")
        expect(job_rows(page)).to_have_count(1)
        job_rows(page).get_by_role("link").first.click()
        page.get_by_role("button", name="Show UTC").click()
        page.go_back()  # to a page that was kept
        begin = page.get_by_label("From (UTC)")
        expect(begin).to_have_value("2026-01-01T12:00")
        page.get_by_role("button", name="Show local time").click()
        begin = page.get_by_label("From (local time)")
        expect(begin).to_have_value("2026-01-01T13:00")
        page.get_by_role("button", name="Show UTC").click()
        page.get_by_label("State").select_option("available")
        expect(page).to_have_url(re.compile("since=2026-01-01T12%3A00%3A00.250Z"))


@pytest.mark.parametrize("kind", ["failed", "jobs", "active"])
@pytest.mark.parametrize("group", ["", "&group=reason"])
@pytest.mark.parametrize("time", ["since=yesterday", "until=2026-13-01T00:00:00Z", "last=99h"])
def test_a_time_that_is_none_is_an_error(
    page: Page, client: httpx.Client, source: str, kind: str, group: str, time: str
) -> None:
    submit(client, source)
    page.goto(f"/#/{kind}?source={source}&{time}{group}")
    expect(page.get_by_role("alert")).to_contain_text(time)
    expect(page.get_by_role("group", name="Act on many")).to_have_count(0)
    expect(page.get_by_role("button", name="Download")).to_have_count(0)
    # Another field leaves it wrong; only who chooses a time, or clears all, goes on.
    page.locator("[name=source]").fill("another")
    page.locator("[name=source]").press("Enter")
    expect(page).to_have_url(re.compile("source=another"))
    expect(page.get_by_role("alert")).to_contain_text(time)
    page.locator("[name=last]").select_option("1h")
    expect(page.get_by_role("alert")).to_be_hidden()


@pytest.mark.parametrize("wrong", ["outcome=lost", "since=2026", "reason=" + "x" * 201])
def test_what_boss_cannot_list_has_no_acts(page: Page, wrong: str) -> None:
    page.goto(f"/#/failed?{wrong}")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("group", name="Act on many")).to_be_hidden()
    expect(page.get_by_text("Looking …")).to_be_hidden()


def test_a_filter_that_no_field_shows_is_not_applied(page: Page, client: httpx.Client, source: str) -> None:
    submit(client, source)
    for address, wrong in {
        "active?outcome=failed": "outcome=failed",
        "active?state=done": "state=done",
        "active?reason=row": "reason=row",
        "active?group=reason": "group=reason",
        "jobs?state=active&group=reason": "group=reason",
        "failed?state=available": "state=available",
        "failed?last=1h&since=2026-01-01T00:00:00Z": "since=2026",
        "jobs?outcome=failed&state=active": "outcome=failed",
        "jobs?state=available&reason=row": "reason=row",
    }.items():
        page.goto(f"/#/{address}&source={source}")
        expect(page.get_by_role("alert")).to_contain_text(f"The address says {wrong}")
        expect(page.get_by_role("group", name="Act on many")).to_have_count(0)
        expect(page.get_by_role("button", name="Download")).to_have_count(0)
        page.get_by_role("link", name="Clear").click()
        expect(page.get_by_role("button", name="Download")).to_be_visible()
    page.goto(f"/#/jobs?state=available&source={source}")
    page.get_by_role("link", name="Group by reason").click()
    expect(page.get_by_text("No job that matches has failed.")).to_be_visible()
    page.get_by_label("State").select_option("available")
    expect(job_rows(page)).to_have_count(1)
    # A browser takes these names for folders.
    for name in ("..", ".", "a%2Fb"):
        page.goto(f"/#/source/{name}")
        expect(page.get_by_text("No source can have this name")).to_be_visible()
        expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)
    page.goto("/#/job/..")
    expect(page.get_by_text("No job and no source can have the name “..”.")).to_be_visible()
    # The last hour is that of Boss's clock, also before the feed has said what time it is.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "since=" in request.url else None)
    page.add_init_script("""Date = class extends Date {
        constructor(...given) { given.length ? super(...given) : super(Date.now()); }
        static now() { return super.now() + 3 * 86_400_000; }
    };""")
    page.route("**/watch", lambda route: None)
    page.goto("/#/jobs?last=1h")
    page.reload()
    expect(page.locator(".above")).to_contain_text("job")
    since = datetime.fromisoformat(parse_qs(urlsplit(asked[-1]).query)["since"][0])
    assert abs(datetime.now(UTC) - timedelta(hours=1) - since) < timedelta(minutes=1)


def test_back_shows_the_filter_of_the_list(page: Page, client: httpx.Client, source: str) -> None:
    submit(client, source)
    page.goto("/#/sources")
    page.goto(f"/#/jobs?source={source}")
    expect(job_rows(page)).to_have_count(1)
    words, time = page.get_by_label("Words in the reason"), page.locator("[name=last]")
    words.fill("column")
    words.press("Enter")
    expect(job_rows(page)).to_have_count(0)
    page.go_back()
    expect(job_rows(page)).to_have_count(1)
    expect(words).to_have_value("")
    time.select_option("between")
    begin, end = page.get_by_label("From"), page.get_by_label("Before")
    begin.fill("2026-01-02T00:00:00")
    end.focus()  # to leave a time sends it
    expect(page).to_have_url(re.compile("since="))
    expect(end).to_be_focused()
    end.fill("2096-01-03T00:00:00")
    begin.focus()
    expect(page).to_have_url(re.compile("until="))
    expect(begin).to_be_focused()
    begin.fill("2026-01-04T00:00:00")
    # Back takes a field away that has the focus, and what was written in it.
    for address in ("&since=[^&]*$", "&last=between$", f"source={source}$", "sources$"):
        page.go_back()
        expect(page).to_have_url(re.compile(address))
        page.wait_for_timeout(200)
        expect(page).to_have_url(re.compile(address))
    page.go_forward()
    expect(time).to_have_value("")


def test_back_returns_to_the_same_filter_and_place(page: Page, client: httpx.Client, source: str) -> None:
    for _ in range(60):
        submit(client, source)
    page.goto(f"/#/jobs?source={source}")
    link = job_rows(page).nth(40).get_by_role("link").first
    id = link.inner_text()
    link.scroll_into_view_if_needed()
    page.evaluate("scrollBy(0, 100)")
    top = page.evaluate("scrollY")
    assert top > 500
    link.click()
    expect(page.get_by_role("heading", level=1, name=id)).to_be_visible()
    assert page.evaluate("scrollY") == 0
    page.go_back()
    expect(link).to_be_focused()
    assert page.evaluate("scrollY") == top
    expect(page.get_by_label("Source")).to_have_value(source)
    page.go_forward()
    expect(page.get_by_role("heading", level=1, name=id)).to_be_visible()
    page.reload()  # what was kept is gone, but for the place
    page.go_back()
    expect(job_rows(page)).to_have_count(50)
    page.wait_for_function("(top) => scrollY === top", arg=top)
