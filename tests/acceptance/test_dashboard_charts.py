"""The charts of the dashboard."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.helpers.databases import run_in
from tests.helpers.page import IN_BROWSER, browser, opened
from tests.helpers.requests import submit
from tests.helpers.servers import boss_running

__all__ = ["browser"]  # a fixture

pytestmark = IN_BROWSER
# An hour of freg and of all sources; 20 minutes ago nothing was counted.
HISTORY = """
INSERT INTO source_history (seconds, start, source, submitted, done, failed, waiting, was_waiting,
                            wait_buckets, wait_jobs, run_buckets, run_jobs)
SELECT 60, date_trunc('minute', now()) - age * interval '1 min', source, 100 + age, 90, 7, 40, 40,
       '{10}', '{5}', '{40}', '{5}'
FROM generate_series(3, 58) AS age, unnest(ARRAY['', 'freg']) AS source
WHERE age NOT BETWEEN 20 AND 22
"""


@pytest.fixture
def page(browser: Browser, database: str) -> Iterator[Page]:
    """The page of a Boss that has counted for an hour."""
    run_in(database, HISTORY)
    with boss_running("--database", database) as boss, boss.client() as client:
        submit(client, "freg")
        yield from opened(browser, boss.url)


def chart(page: Page, name: str) -> Locator:
    return page.locator("figure", has=page.get_by_role("heading", name=name, exact=True))


@pytest.mark.parametrize("whose", ["all", "one"])
def test_a_chart_is_read_by_mouse_and_keys(page: Page, whose: str) -> None:
    page.goto("/#/source/freg" if whose == "one" else "/#/")
    jobs = chart(page, "Jobs")
    plot = jobs.get_by_role("slider", name="Jobs")
    expect(jobs.locator(".most")).to_have_text("200")
    # A line has a part on each side of the gap.
    assert (jobs.locator(".plot path.one").get_attribute("d") or "").count("M") >= 2
    plot.focus()
    page.keyboard.press("End")
    for _ in range(9):
        page.keyboard.press("ArrowLeft")
    said = plot.get_attribute("aria-valuetext") or ""
    assert said.endswith("ended 90, failed 7"), said
    number = int(said.partition("submitted ")[2].partition(",")[0])
    page.keyboard.press("ArrowLeft")
    assert f"submitted {number + 1}," in (plot.get_attribute("aria-valuetext") or "")
    expect(jobs.locator(".legend b").first).to_have_text(str(number + 1))
    page.keyboard.press("Home")
    expect(plot).to_have_attribute("aria-valuenow", "0")
    box = plot.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 5)
    expect(plot).to_have_attribute("aria-valuenow", "30")
    expect(jobs.locator(".cursor")).to_have_attribute("d", "M50.85 0V100")
    page.mouse.move(0, 0)
    expect(jobs.locator(".cursor")).to_have_attribute("d", "")
    # For those who do not see it, the chart says its last and its greatest values.
    described = page.locator(f"#{plot.get_attribute('aria-describedby')}")
    expect(described).to_contain_text("at most 15")
    expect(chart(page, "Run time").get_by_role("slider")).to_have_count(1)


def test_the_gap_is_not_known(page: Page) -> None:
    page.goto("/#/")
    plot = chart(page, "Ready jobs").get_by_role("slider")
    expect(chart(page, "Jobs").locator(".most")).to_have_text("200")
    plot.focus()
    said = set()
    page.keyboard.press("End")
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
        said.add((plot.get_attribute("aria-valuetext") or "").partition(": ")[2])
    assert said >= {"waiting 40", "waiting not known"}


def test_what_a_chart_without_values_says(page: Page) -> None:
    page.goto("/#/source/other")
    expect(chart(page, "Run time").locator(".none")).to_have_text("No job has ended")
    expect(chart(page, "Jobs").locator(".none")).to_be_hidden()


def test_the_last_day(page: Page) -> None:
    page.goto("/#/source/freg")
    charts = page.get_by_role("region", name="The last hour")
    expect(charts.locator("figure")).to_have_count(4)
    with page.expect_response(lambda answer: answer.url.endswith("/source/freg/history?span=day")):
        charts.get_by_role("button", name="Show the last day").click()
    day = page.get_by_role("region", name="The last day", exact=True)
    expect(day.get_by_role("button", name="Show the last day")).to_have_attribute("aria-pressed", "true")
    expect(chart(page, "Jobs").get_by_role("slider")).to_have_attribute("aria-valuemax", "143")
    expect(page).to_have_url(re.compile(r"\?span=day$"))
    page.reload()
    expect(page.get_by_role("region", name="The last day", exact=True)).to_be_visible()


def test_times_of_charts_in_utc(page: Page) -> None:
    page.goto("/#/")
    times = chart(page, "Jobs").locator(".times time")
    expect(times).to_have_count(3)
    expect(times.first).not_to_have_text("")
    at = times.first.get_attribute("datetime") or ""
    page.get_by_role("button", name="Show UTC").click()
    expect(times.first).to_have_text(at[11:16])
    page.get_by_role("button", name="Show local time").click()
