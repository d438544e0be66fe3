"""The overview of the dashboard: the numbers, what needs attention, and every source."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.helpers.databases import run_in
from tests.helpers.page import IN_BROWSER, TOO_WIDE, browser, numbers, opened, row
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, boss_running

__all__ = ["browser"]  # a fixture

pytestmark = IN_BROWSER
# A thousand sources, each with a job.
MANY = """
INSERT INTO job (id, source, document)
SELECT 'job-' || n, 'source-' || to_char(n, 'FM0000'), '{}' FROM generate_series(1, 1000) AS n
"""
# Adds up how much has moved by itself from now on: https://web.dev/articles/cls
SHIFTS = """() => {
    window.shifts = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shifts += entry.value)))
        .observe({ type: "layout-shift" });
}"""
# By how much a large number is wider than its place, in pixels.
LARGE = """async () => {
    const { setNumber, tile } = await import("/page/numbers.js");
    const made = tile("Ready", null);
    document.querySelector(".tiles .tile").replaceWith(made.element);
    setNumber(made, "12,345,678+");
    return made.value.scrollWidth - made.value.clientWidth;
}"""
# Four jobs of the source `failing` failed half an hour ago.
FAILED_BEFORE = """
INSERT INTO source_history (seconds, start, source, submitted, done, failed, waiting, was_waiting,
                            wait_buckets, wait_jobs, run_buckets, run_jobs)
VALUES (60, date_trunc('minute', now()) - interval '30 min', 'failing', 4, 4, 4, 0, 0, '{}', '{}', '{}', '{}')
"""


@pytest.fixture
def boss(database: str) -> Iterator[BossProcess]:
    with boss_running("--database", database) as boss:
        yield boss


@pytest.fixture
def alone(boss: BossProcess) -> Iterator[httpx.Client]:
    """A client of a Boss that has no other jobs."""
    with boss.client() as client:
        yield client


@pytest.fixture
def page(browser: Browser, boss: BossProcess) -> Iterator[Page]:
    yield from opened(browser, boss.url)


def tile(page: Page, name: str) -> Locator:
    """A number of all sources."""
    return page.get_by_role("region", name="All jobs").locator(".tile").filter(has=page.get_by_text(name, exact=True))


def trouble(page: Page, source: str) -> Locator:
    """The entry of a source among those that need attention."""
    items = page.get_by_role("list", name="Sources that need attention").get_by_role("listitem")
    return items.filter(has=page.get_by_role("link", name=source, exact=True))


def names(page: Page) -> list[str]:
    """The sources in the order in which they are shown."""
    return page.locator(".all-sources tbody a.go").all_inner_texts()


def fail(client: httpx.Client, source: str, jobs: int) -> None:
    for _ in range(jobs):
        submit(client, source, attempts=1)
        id = client.get(f"/job/available/{source}").json()["id"]
        client.post(f"/job/done/{source}/{id}?outcome=failed", json={"error": "no column a"})


def test_what_to_do_first(page: Page, alone: httpx.Client) -> None:
    main = page.get_by_role("main")
    expect(main.get_by_role("heading", name="No job has been submitted yet")).to_be_visible()
    expect(main.get_by_role("listitem")).to_have_count(3)
    expect(main).to_contain_text(f"boss work freg --url {page.url.rstrip('/#')}")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate(TOO_WIDE) == []
    submit(alone, "freg")
    expect(row(page, "freg")).to_be_visible()


def test_the_numbers_of_all_sources(page: Page, alone: httpx.Client, database: str) -> None:
    for _ in range(5):
        submit(alone, "freg")
    first = alone.get("/job/available/freg", headers={"boss-converter": "host-3/17"}).json()["id"]
    submit(alone, "freg", delay=1000)
    submit(alone, "freg", after=first)
    submit(alone, "still")
    submit(alone, "still", delay=1000)
    alone.put("/source/still", json={"paused": True})
    fail(alone, "sirius", 2)
    run_in(database, "UPDATE job SET submitted_at = submitted_at - interval '5 min' WHERE source = 'freg'")
    for name, number, more in (
        ("Ready", "4", "of 1 source"),
        ("Oldest ready", re.compile("5 min|30. s"), "of freg"),
        ("Delayed", "2", "1 after others"),
        ("Paused", "1", "in 1 source"),
        ("Active", "1", "of 1 source"),
        ("Failed, last hour", "2", "2 in a day"),
        ("At work", "1", "of 1 converter"),
        ("Last minute", re.compile(r"\S"), re.compile("not counted yet|ended")),
    ):
        # The feed reads converters every five seconds, or less often where that takes long.
        expect(tile(page, name).locator("b")).to_have_text(number, timeout=30_000)
        expect(tile(page, name).locator(".note")).to_have_text(more, timeout=30_000)
    # The table and the page of the source say the same: what is paused is not ready.
    expect(numbers(page, "still")).to_have_text(["0", "0", "0"])
    expect(row(page, "still").locator(".pill")).to_have_text(["1 paused", "1 delayed"])
    # No list has the delayed jobs alone.
    expect(page.get_by_role("link", name=re.compile("^Delayed"))).to_have_count(0)
    # One that says no name is at work, too.
    alone.get("/job/available/freg").raise_for_status()
    expect(tile(page, "At work").locator(".note")).to_have_text("1 with a name", timeout=30_000)
    expect(tile(page, "At work").locator("b")).to_have_text("2", timeout=30_000)
    tile(page, "Active").click()
    expect(page.get_by_role("heading", level=1, name="Active jobs")).to_be_visible()


@pytest.mark.parametrize("width", [390, 834, 1440])
def test_a_large_number_is_not_cut(page: Page, alone: httpx.Client, width: int) -> None:
    submit(alone, "freg")
    page.set_viewport_size({"width": width, "height": 900})
    expect(tile(page, "Ready").locator("b")).to_have_text("1")
    assert page.evaluate(LARGE) <= 0


def test_the_source_with_the_oldest_job_is_cut_in_the_middle(page: Page, alone: httpx.Client) -> None:
    name = "a-source-" * 8 + "of-2025"
    submit(alone, name)
    page.set_viewport_size({"width": 1440, "height": 900})
    first = tile(page, "Oldest ready").get_by_title(name)
    expect(first).to_have_text(name)
    end = first.locator("span").last
    expect(end).to_have_text(name[-10:])
    assert end.evaluate("(element) => element.getBoundingClientRect().right") <= tile(page, "Oldest ready").evaluate(
        "(element) => element.getBoundingClientRect().right"
    )


def test_the_age_of_the_oldest_job_goes_on(page: Page, alone: httpx.Client) -> None:
    submit(alone, "freg")
    age = tile(page, "Oldest ready").locator("time")
    expect(age).to_have_text("3 s")
    expect(age).to_have_text("5 s")  # the feed has nothing new


def test_what_needs_attention_and_what_to_do(page: Page, alone: httpx.Client, database: str) -> None:
    fail(alone, "failing", 4)
    submit(alone, "still")
    alone.put("/source/still", json={"paused": True})
    submit(alone, "unasked")
    alone.put("/source/stuck", json={"limit": 1})
    for _ in range(3):
        submit(alone, "stuck")
    alone.get("/job/available/stuck?lease=3600")
    submit(alone, "calm")
    run_in(
        database, "UPDATE job SET submitted_at = submitted_at - interval '20 min' WHERE source IN ('stuck', 'unasked')"
    )
    expect(trouble(page, "failing")).to_contain_text("4 of 4 jobs that ended in the last hour failed.")
    expect(trouble(page, "unasked")).to_contain_text("nobody asks")
    expect(trouble(page, "stuck")).to_contain_text("its limit is reached. Raise the limit")
    expect(trouble(page, "still")).to_contain_text("paused")
    expect(trouble(page, "calm")).to_have_count(0)
    attention = page.get_by_role("region", name="Needs attention")
    expect(attention).to_contain_text("3 sources, 1 paused")
    shown = page.locator(".troubles").first.locator("a.go")
    expect(shown).to_have_text(["failing", "stuck", "unasked", "still"])  # by weight
    # The doctor looks every ten seconds.
    found = page.get_by_role("list", name="What the doctor has found")
    expect(found).to_contain_text("Oldest available job", timeout=30_000)
    expect(attention).to_contain_text("The doctor says: watch")

    trouble(page, "stuck").get_by_role("button", name="Rule of stuck").click()
    page.get_by_role("dialog").get_by_label("Most active jobs at once").fill("5")
    page.get_by_role("button", name="Set it").click()
    expect(trouble(page, "stuck")).not_to_contain_text("its limit is reached")
    trouble(page, "still").get_by_role("button", name="Resume still").click()
    expect(trouble(page, "still")).to_contain_text("It needs no attention any more.")  # below the mouse it stays
    page.mouse.move(0, 0)
    page.get_by_role("main").focus()
    expect(trouble(page, "still")).to_have_count(0)
    assert not [each for each in alone.get("/source").json()["sources"] if each["paused"]]
    trouble(page, "failing").get_by_role("link", name="Reasons of failing").click()
    expect(page.get_by_role("main")).to_contain_text("no column a")
    page.go_back()
    page.mouse.move(0, 0)
    expect(shown.first).to_have_text("failing")
    # Half an hour ago it failed, too. Once all else is redone nothing fails now, and what waits now comes first.
    run_in(database, FAILED_BEFORE)
    assert alone.post("/job/available/failing?from=done").json()["moved"] == 4
    expect(shown.last).to_have_text("failing")


def test_nothing_moves_under_the_mouse(page: Page, alone: httpx.Client) -> None:
    for source in ("b", "c"):
        submit(alone, source)
        alone.put(f"/source/{source}", json={"paused": True})
    expect(trouble(page, "c")).to_be_visible()
    trouble(page, "b").hover()
    submit(alone, "a")
    alone.put("/source/a", json={"paused": True})
    expect(page.get_by_role("region", name="Needs attention")).to_contain_text("3 paused")
    expect(page.locator(".troubles").first.locator("a.go")).to_have_text(["b", "c"])
    page.mouse.move(0, 0)
    expect(page.locator(".troubles").first.locator("a.go")).to_have_text(["a", "b", "c"])


def test_nothing_jumps_when_news_come(page: Page, alone: httpx.Client) -> None:
    submit(alone, "a")
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(row(page, "a")).to_be_visible()
    page.evaluate(SHIFTS)
    for number in range(8):
        submit(alone, f"b-{number}")
        alone.put(f"/source/b-{number}", json={"paused": True})
    fail(alone, "c", 4)
    expect(trouble(page, "c")).to_be_visible()
    expect(trouble(page, "b-7")).to_have_count(1)
    expect(row(page, "c")).to_have_count(1)
    assert page.evaluate("shifts") < 0.02


def test_a_source_among_a_thousand(page: Page, alone: httpx.Client, database: str) -> None:
    submit(alone, "z")
    run_in(database, MANY)
    alone.put("/source/source-0400", json={"limit": 3})
    page.reload()
    expect(page.get_by_text("1,001 sources", exact=True)).to_be_visible(timeout=30_000)
    assert len(names(page)) == 50
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("51 to 100 of 1,001")).to_be_visible()
    expect(page).to_have_url(re.compile(r"#/\?page=2$"))
    second = names(page)
    page.reload()
    expect(page.get_by_text("51 to 100 of 1,001")).to_be_visible()
    assert names(page) == second
    page.locator(".all-sources tbody a.go").first.click()
    expect(page.get_by_role("heading", level=1, name=second[0])).to_be_visible()
    page.go_back()
    expect(page.get_by_text("51 to 100 of 1,001")).to_be_visible()
    page.get_by_role("searchbox", name="Show only sources").fill("E-04")
    expect(page.get_by_text("100 of 1,001 sources")).to_be_visible()
    expect(page).to_have_url(re.compile(r"#/\?q=E-04$"))  # on its first page
    expect(page.locator(".all-sources tbody tr")).to_have_count(50)
    assert names(page)[:2] == ["source-0400", "source-0401"]
    page.get_by_role("searchbox", name="Show only sources").fill("nobody")
    expect(page.get_by_text("No source has “nobody” in its name.")).to_be_visible()


def test_an_update_of_a_source_touches_one_row(page: Page, alone: httpx.Client) -> None:
    for number in range(30):
        submit(alone, f"source-{number:02}")
    expect(row(page, "source-29")).to_be_visible()
    page.evaluate("""() => {
        window.touched = new Set();
        new MutationObserver((records) => {
            for (const { target } of records) {
                const row = (target.closest ? target : target.parentElement)?.closest("tr");
                if (row?.closest("tbody") && !target.parentElement?.closest("time") && !target.closest?.("time")) {
                    touched.add(row.querySelector("a").textContent);
                }
            }
        }).observe(document.querySelector(".all-sources tbody"),
            { subtree: true, childList: true, characterData: true });
    }""")
    submit(alone, "source-07")
    expect(numbers(page, "source-07").first).to_have_text("2")
    assert page.evaluate("[...touched]") == ["source-07"]


def test_rows_stay_until_one_sorts_again(page: Page, alone: httpx.Client) -> None:
    for source, jobs in (("a", 1), ("b", 3), ("c", 2)):
        for _ in range(jobs):
            submit(alone, source)
    expect(row(page, "c")).to_be_visible()
    page.reload()
    again = page.get_by_role("button", name="Sort again")
    expect(row(page, "c")).to_be_visible()
    assert names(page) == ["b", "c", "a"]
    expect(again).to_be_hidden()
    for _ in range(5):
        submit(alone, "a")
    submit(alone, "d")
    expect(numbers(page, "a").first).to_have_text("6")
    expect(row(page, "d")).to_be_visible()
    assert names(page) == ["b", "c", "a", "d"]
    again.click()
    assert names(page) == ["a", "b", "c", "d"]
    expect(again).to_be_hidden()


def test_sorting_and_searching_are_in_the_address(page: Page, alone: httpx.Client) -> None:
    for source in ("a", "b", "c"):
        submit(alone, source)
    fail(alone, "b", 2)
    alone.get("/job/available/c")
    expect(numbers(page, "b")).to_have_text(["1", "0", "2"])
    expect(numbers(page, "c")).to_have_text(["0", "1", "0"])
    for head, first, back in (("source", "a", "c"), ("failed, last hour", "b", "c"), ("active", "c", "b")):
        sort = page.get_by_role("button", name=f"Sort by {head}")
        sort.click()
        assert names(page)[0] == first
        expect(sort).to_be_focused()
        sort.click()
        assert names(page)[0 if head != "active" else -1] in (back, "a", "c")
    page.get_by_role("button", name="Sort by source").click()
    page.get_by_role("button", name="Sort by source").click()
    page.get_by_role("searchbox", name="Show only sources").fill("c")
    expect(page).to_have_url(re.compile(r"#/\?q=c&sort=-source$"))
    page.reload()
    expect(row(page, "c")).to_be_visible()
    assert names(page) == ["c"]
    row(page, "c").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1, name="c")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("searchbox", name="Show only sources")).to_have_value("c")


def test_all_answers_fit_one_screen(page: Page, alone: httpx.Client) -> None:
    for number in range(60):
        submit(alone, f"source-{number:02}")
        if number < 30:
            alone.put(f"/source/source-{number:02}", json={"paused": True})
    page.set_viewport_size({"width": 1440, "height": 900})
    expect(trouble(page, "source-00")).to_be_visible()
    for part in (".tiles", ".attention", ".charts", ".all-sources thead", ".all-sources tbody tr:nth-child(4)"):
        box = page.locator(part).bounding_box()
        assert box
        assert 0 <= box["y"] <= 900 - box["height"], part
    # What has no room says so, and no entry is shown in part.
    below = page.get_by_role("button", name="more below")
    line, last = below.bounding_box(), trouble(page, "source-03").bounding_box()
    assert line
    assert last
    assert last["y"] + last["height"] <= line["y"] + 1
    expect(below).to_have_text("26 more below")
    below.click()
    expect(below).not_to_have_text("26 more below")


def test_on_a_phone_the_numbers_come_first(page: Page, alone: httpx.Client) -> None:
    submit(alone, "freg")
    page.set_viewport_size({"width": 390, "height": 844})
    expect(row(page, "freg")).to_be_visible()
    tops = [page.locator(part).bounding_box() for part in (".tiles", ".attention", ".all-sources", ".charts")]
    assert tops == sorted(tops, key=lambda box: box["y"] if box else 0)
    # What needs attention begins on the first screen.
    assert tops[1]
    assert tops[1]["y"] < 844 * 0.75


def test_a_source_that_is_deleted_goes(page: Page, alone: httpx.Client) -> None:
    id = submit(alone, "gone")
    submit(alone, "freg")
    expect(row(page, "gone")).to_be_visible()
    alone.post(f"/job/done/gone/{id}?outcome=stopped")
    alone.delete(f"/job/done/gone/{id}")
    assert alone.delete("/source/gone").is_success
    expect(row(page, "gone")).to_have_count(0)
    expect(row(page, "freg")).to_be_visible()
