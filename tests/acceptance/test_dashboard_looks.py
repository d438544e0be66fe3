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
    """What axe finds wrong, by the names of its rules."""
    return [each["id"] for each in Axe().run(page).response["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 834, 1440])
def test_every_page(
    browser: Browser, module_boss: BossProcess, client: httpx.Client, source: str, width: int, scheme: Scheme
) -> None:
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
    for page in opened(browser, module_boss.url, scheme):
        page.set_viewport_size({"width": width, "height": 900})
        for address, text in shows.items():
            page.goto("/docs")  # so that each page is opened anew
            page.goto(f"/{address}")
            expect(page.get_by_role("main")).to_contain_text(text)
            assert page.evaluate(SHIFTS) < 0.1, address
            assert page.evaluate(TOO_WIDE) == [], address
            # axe finds much the same at every width, and takes long. So it runs at one width only.
            if width == 1440:
                assert violations(page) == [], address
        page.keyboard.press("?")
        assert violations(page) == []
        for address in ("/docs", "/no/such/page"):
            page.goto(address)
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            assert page.evaluate(TOO_WIDE) == [], address
            if width == 1440:
                assert violations(page) == [], address
