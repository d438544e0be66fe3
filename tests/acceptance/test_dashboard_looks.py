"""Each page of the dashboard on a phone, a tablet and a large screen, in light and dark."""

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.helpers.page import IN_BROWSER, TOO_WIDE, Scheme, browser, opened
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess

__all__ = ["browser"]  # a fixture

pytestmark = IN_BROWSER
# How much has moved that a person did not ask for: https://web.dev/articles/cls. Up to 0.1 counts as good.
SHIFTS = """() => new Promise((resolve) => new PerformanceObserver((list) =>
    resolve(list.getEntries().filter((entry) => !entry.hadRecentInput).reduce((sum, entry) => sum + entry.value, 0))
).observe({ type: "layout-shift", buffered: true }) || setTimeout(() => resolve(0), 300))"""

# What axe looks for in each scheme. A scheme changes colours alone.
SCHEMES: dict[Scheme, dict[str, object]] = {
    "light": {"resultTypes": ["violations"]},
    "dark": {"resultTypes": ["violations"], "runOnly": {"type": "rule", "values": ["color-contrast"]}},
}

# What in the bar with the filter lies on another part of it, or has no room for all of what it shows.
CROWDED = """() => {
    const all = [...document.querySelectorAll(".filters :is(input, select, .clear)")]
        .filter((each) => each.checkVisibility())
        .map((each) => ({ name: each.name || each.className, box: each.getBoundingClientRect(),
            isCut: each.type === "datetime-local" && each.scrollWidth > each.clientWidth + 1 }));
    const isOn = ({ box: one }, { box: other }) =>
        one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
    return all.filter((each) => each.isCut || all.some((other) => other !== each && isOn(each, other)))
        .map(({ name }) => name);
}"""


def some_of_all(client: httpx.Client, source: str) -> str:
    """Jobs in all states, a schedule, a rule and a converter; the id of a job that failed."""
    name = f"{source}-{'with-a-long-name-' * 6}"[:100]
    ids = [submit(client, name, '{"text": "one\\ntwo", "deep": {"a": [1]}}', attempts=1) for _ in range(4)]
    client.get(f"/job/available/{name}?limit=2", headers={"boss-converter": "host-3/17"})
    client.request("DELETE", f"/job/active/{name}/{ids[0]}", json={"error": "no column a\nin the file"})
    client.put(f"/source/{name}", json={"paused": True, "limit": 4, "delays": [1, 2, 3]})
    client.put(f"/schedule/{source}-nightly", json={"source": name, "cron": "0 3 * * *"})
    return ids[0]


def violations(page: Page) -> list[str]:
    """What axe finds wrong, by the names of its rules: everything in light, and the colours in dark."""
    found = []
    for scheme, options in SCHEMES.items():
        page.emulate_media(color_scheme=scheme)
        found += [f"{scheme}: {each['id']}" for each in Axe().run(page, options=options).response["violations"]]
    return found


@pytest.mark.parametrize("width", [390, 834, 1440])
def test_every_page(browser: Browser, module_boss: BossProcess, client: httpx.Client, source: str, width: int) -> None:
    id = some_of_all(client, source)
    shows = {
        "#/": source,
        "#/sources": source,
        f"#/source/{client.get(f'/jobs/{id}').json()['source']}": "paused",
        "#/active": source,
        "#/failed": "no column a",
        "#/failed?group=reason": "no column a",
        "#/jobs": source,
        f"#/job/{id}": "no column a",
        "#/converters": "host-3/17",
        "#/schedules": f"{source}-nightly",
        "#/audit": "set a schedule",
        "#/nothing": "no page",
    }
    for page in opened(browser, module_boss.url):
        page.set_viewport_size({"width": width, "height": 900})
        for address, text in shows.items():
            page.goto("/docs")  # so that each page is opened anew
            page.goto(f"/{address}")
            expect(page.get_by_role("main")).to_contain_text(text)
            assert page.evaluate(SHIFTS) < 0.1, address
            assert page.evaluate(TOO_WIDE) == [], address
            assert violations(page) == [], address
        page.keyboard.press("?")
        assert violations(page) == []
        for address in ("/docs", "/no/such/page"):
            page.goto(address)
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            assert page.evaluate(TOO_WIDE) == [], address
            assert violations(page) == [], address


@pytest.mark.parametrize("width", [320, 390, 834, 1440])
def test_the_fields_of_a_filter_lie_side_by_side(browser: Browser, module_boss: BossProcess, width: int) -> None:
    for page in opened(browser, module_boss.url):
        page.set_viewport_size({"width": width, "height": 900})
        for address in ("#/failed?last=between", "#/jobs?since=2026-01-01T00:00:00Z", "#/active?last=between"):
            page.goto(f"/{address}")
            expect(page.get_by_label("Before")).to_be_visible()
            assert page.evaluate(CROWDED) == [], address
            assert page.evaluate(TOO_WIDE) == [], address


@pytest.mark.parametrize("width", [320, 834, 1440])
def test_what_is_meant_for_programs_scrolls_only_downwards(
    browser: Browser, module_boss: BossProcess, client: httpx.Client, source: str, width: int
) -> None:
    submit(client, f"{source}-{'a' * 100}"[:100])
    for page in opened(browser, module_boss.url):
        page.set_viewport_size({"width": width, "height": 900})
        for name, text in (("metrics", "boss_jobs"), ("health", "autovacuum are on")):
            page.goto(f"/#/{name}")
            expect(page.get_by_role("main")).to_contain_text(text)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
