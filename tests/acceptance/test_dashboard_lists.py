"""The dashboard's lists: they page through everything, group failures by reason, and can be saved as a file."""

import json
import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.helpers.databases import run_in
from tests.helpers.ndjson import LINES
from tests.helpers.page import IN_BROWSER, browser, job_rows, opened, page
from tests.helpers.requests import submit
from tests.helpers.servers import boss_running

__all__ = ["browser", "page"]  # fixtures

pytestmark = IN_BROWSER


def done(client: httpx.Client, source: str, number: int, outcome: str, reason: str) -> list[str]:
    """Jobs that ended so, each with its number in the reason."""
    ids = [submit(client, source, attempts=1) for _ in range(number)]
    client.get(f"/job/available/{source}?limit={number}")
    for each, id in enumerate(ids):
        client.post(f"/job/done/{source}/{id}?outcome={outcome}", json={"error": f"{reason} {each}"})
    return ids


def through_all(page: Page) -> list[str]:
    """The ids on all pages of a list."""
    found: list[str] = []
    while True:
        found += job_rows(page).locator("a.go").all_inner_texts()
        following = page.get_by_role("link", name="Next page")
        if not following.count():
            return found
        first = job_rows(page).first.locator("a.go").inner_text()
        following.click()
        expect(job_rows(page).first.locator("a.go")).not_to_have_text(first)


def test_a_list_pages_through_everything(page: Page, client: httpx.Client, source: str) -> None:
    lines = "".join(f'{{"n": {number}}}\n' for number in range(120))
    answer = client.post(f"/job/available/{source}", content=lines, headers=LINES)
    ids = [json.loads(line)["id"] for line in answer.text.splitlines()]
    page.goto(f"/#/jobs?source={source}")
    expect(page.get_by_text("50 jobs shown, greatest id first; there are more.")).to_be_visible()
    assert through_all(page) == sorted(ids, reverse=True)
    page.get_by_role("link", name="Previous").click()
    expect(job_rows(page)).to_have_count(50)
    page.get_by_role("link", name="First page").click()
    expect(job_rows(page).first).to_contain_text(max(ids))


def test_what_failed_and_what_was_abandoned_is_one_list(browser: Browser, database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        failed, stopped = done(client, "freg", 70, "failed", "no"), done(client, "freg", 2, "stopped", "no")
        # Only maintenance abandons jobs. These were abandoned between the others, and some at the same moment.
        run_in(
            database,
            "UPDATE job SET outcome = 'abandoned', result = NULL "
            "WHERE id IN (SELECT id FROM job WHERE outcome = 'failed' ORDER BY id LIMIT 30)",
        )
        run_in(database, "UPDATE job SET finished_at = date_trunc('second', finished_at) WHERE source = 'freg'")
        for page in opened(browser, boss.url):
            page.goto("/#/failed")
            expect(job_rows(page).first).to_be_visible()
            found = through_all(page)
            assert sorted(found) == sorted(failed)
            assert not set(stopped) & set(found)
            times = {job["id"]: job["finished"] for job in client.get("/jobs?source=freg&limit=1000").json()["jobs"]}
            assert [times[id] for id in found] == sorted((times[id] for id in found), reverse=True)
            page.get_by_label("Outcome").select_option("abandoned")
            expect(job_rows(page)).to_have_count(30)
            # Nobody gave a reason. What happened is said, and the group leads to exactly these jobs.
            why = "Its lease ran out, and it had no attempts left."
            expect(job_rows(page).first).to_contain_text(why)
            page.goto("/#/failed?group=reason")
            page.get_by_role("link", name=why).click()
            expect(job_rows(page)).to_have_count(30)
            expect(page.get_by_label("Outcome")).to_have_value("abandoned")
            job_rows(page).first.locator("a.go").click()
            expect(page.get_by_role("region", name="History")).to_contain_text(why)


def test_failures_by_reason(page: Page, client: httpx.Client, source: str) -> None:
    done(client, source, 7, "failed", "no column in row")
    done(client, f"{source}-b", 4, "failed", "no column in row")
    done(client, source, 2, "failed", "disk full, 12 bytes left on /dev/sda")
    done(client, source, 1, "failed", "HTTP 404 of 12")
    page.goto(f"/#/failed?source={source}")
    page.get_by_role("link", name="Group by reason").click()
    expect(job_rows(page)).to_contain_text(["no column in row …", "disk full, … bytes left on", "HTTP 404 of …"])
    expect(job_rows(page).first.locator("td").first).to_have_text("7")
    expect(page.get_by_text("3 reasons of all 10 jobs that match.")).to_be_visible()
    page.get_by_role("link", name="no column in row").click()
    expect(job_rows(page)).to_have_count(7)
    expect(page.get_by_label("Words in the reason")).to_have_value("no column in row")
    page.get_by_role("link", name="Group by reason").click()
    page.locator("[name=last]").select_option("")  # it was that of the group
    page.get_by_label("Source").fill(f"{source}-b")
    page.get_by_label("Source").press("Enter")
    expect(page.get_by_text("1 reason of all 4 jobs that match.")).to_be_visible()
    page.wait_for_function(
        "async (source) => (await import('/page/feed.js')).state.failed.some((job) => job.source === source)",
        arg=f"{source}-b",
    )
    done(client, f"{source}-b", 1, "failed", "no column in row")
    page.get_by_role("button", name="Show what is new").click()
    expect(page.get_by_text("1 reason of all 5 jobs that match.")).to_be_visible()


def test_what_was_redone_is_in_no_group(page: Page, client: httpx.Client, source: str) -> None:
    done(client, source, 2, "failed", "no column in row")
    page.goto(f"/#/failed?source={source}&group=reason")
    page.get_by_role("link", name="no column in row").click()
    expect(job_rows(page)).to_have_count(2)
    done(client, source, 1, "failed", "no column in row")
    page.get_by_role("button", name="Redo all that match").click()
    page.get_by_role("dialog").get_by_role("button", name="Redo them").click()
    # The times are those of the group. That they have no failures any more does not mean that there are none.
    expect(page.get_by_text("Newer ones may have failed")).to_be_visible()
    page.get_by_role("link", name="look without the times").click()
    expect(job_rows(page)).to_have_count(1)
    page.go_back()
    page.go_back()
    expect(page.get_by_text("1 reason of the one job that matches.")).to_be_visible()


def ended(client: httpx.Client, source: str, results: list[str], outcome: str = "failed") -> list[str]:
    """Jobs that ended with these results, one after the other."""
    ids = []
    for result in results:
        ids.append(submit(client, source, attempts=1))
        client.get(f"/job/available/{source}")
        client.post(f"/job/done/{source}/{ids[-1]}?outcome={outcome}", content=result)
    return ids


def test_a_group_leads_to_the_jobs_that_it_counts_or_to_one_job(page: Page, client: httpx.Client, source: str) -> None:
    _, numbered = ended(client, source, ['{"error": "404"}', '{"error": "405"}'])
    (silent,) = ended(client, source, [""])
    _, short = ended(client, source, ['{"error": "disk full"}'] * 2)
    _, long = ended(client, source, ['{"error": "no room: disk full"}'] * 2)
    (completed,) = ended(client, source, ['{"error": "no room at all"}'], "completed")
    ended(client, source, ['{"error": "at all"}'])
    for kind in ("failed", "jobs"):
        page.goto(f"/#/{kind}?source={source}&group=reason&last=1d")
        groups = job_rows(page).filter(has=page.locator("a.reason"))
        expect(groups).to_have_count(5)
        for reason, id in (("…", numbered), ("no reason was given", silent), ("disk full", short)):
            group = groups.filter(has=page.get_by_role("link", name=reason, exact=True))
            expect(group).to_contain_text("No words find these jobs alone.")
            expect(group.locator("a.reason")).to_have_attribute("href", f"#/job/{id}")
        alone = groups.filter(has=page.get_by_role("link", name="at all", exact=True))
        expect(alone.get_by_text("No words")).to_be_visible(visible=kind == "jobs")  # a job that completed says so, too
    # Jobs that end later were not counted.
    page.goto(f"/#/failed?source={source}&group=reason")
    link = page.get_by_role("link", name="no room: disk full")
    expect(link).to_be_visible()
    later = ended(client, source, ['{"error": "no room: disk full"}'])
    link.click()
    expect(job_rows(page)).to_have_count(2)
    expect(job_rows(page)).to_contain_text([long])
    assert not {*later, completed} & set(job_rows(page).locator("a.go").all_inner_texts())
    page.get_by_label("Before").focus()
    page.get_by_label("Before").blur()  # it shows whole seconds, and changes nothing
    expect(job_rows(page)).to_have_count(2)
    # The filter's own words are among those of the group, or the group has no list.
    page.goto(f"/#/failed?source={source}&group=reason&reason=404")
    expect(job_rows(page)).to_contain_text(["No words find these jobs alone."])


def test_a_group_has_words_where_boss_looks_for_them(page: Page, client: httpx.Client, source: str) -> None:
    (odd,) = ended(client, source, ['{"error": {"code": "bad weather"}, "reason": "none"}'])
    (large,) = ended(client, source, [json.dumps({"error": "too large to be searched", "rows": "x" * 20_000})])
    page.goto(f"/#/failed?source={source}&group=reason")
    expect(page.get_by_role("link", name="too large to be searched")).to_have_attribute("href", f"#/job/{large}")
    page.get_by_role("link", name="bad weather").click()
    expect(job_rows(page)).to_have_count(1)
    expect(job_rows(page)).to_contain_text([odd])


def test_a_traceback_is_known_by_its_last_line(page: Page, client: httpx.Client, source: str) -> None:
    trace = 'Traceback (most recent call last):\n  File "convert.py", line {}, in convert\n'
    done(client, source, 3, "failed", f"{trace.format(41)}KeyError: 'AARSINNTEKT' in row")
    done(client, source, 1, "failed", f"{trace.format(41)}OSError: disk full")
    done(client, source, 1, "failed", f"{trace.format(12)}OSError: disk full")
    page.goto(f"/#/failed?source={source}")
    newest = job_rows(page).first.locator(".words")
    expect(newest).to_have_text("OSError: disk full 0")
    expect(newest).to_have_attribute("title", re.compile("^Traceback"))
    page.get_by_role("link", name="Group by reason").click()
    expect(job_rows(page)).to_contain_text(["KeyError: 'AARSINNTEKT' in row", "OSError: disk full"])
    page.get_by_role("link", name="OSError: disk full").click()
    expect(job_rows(page)).to_have_count(2)


@pytest.mark.parametrize(
    "before", ["step 84 has ended\nTraceback (most recent call last):\n", "ep 84 has ended\n"], ids=["whole", "cut off"]
)
def test_log_lines_before_a_traceback_are_not_the_reason(
    page: Page, client: httpx.Client, source: str, before: str
) -> None:
    done(client, source, 1, "failed", f'{before}  File "convert.py", line 9, in convert\nKeyError: no such row')
    page.goto(f"/#/failed?source={source}")
    expect(job_rows(page).first.locator(".words")).to_contain_text("KeyError: no such row")


def test_all_that_match_are_saved_as_lines(page: Page, client: httpx.Client, source: str, tmp_path: Path) -> None:
    ids = done(client, source, 55, "failed", "no")
    done(client, source, 2, "completed", "no")
    page.goto(f"/#/failed?source={source}&last=1h")
    expect(page.get_by_text("50 jobs shown; there are more. Jobs failed 55 times in the last hour.")).to_be_visible()
    page.goto(f"/#/failed?source={source}")
    expect(page.get_by_text("50 jobs shown; there are more.", exact=True)).to_be_visible()
    page.goto(f"/#/failed?source={source}&reason=no+7")
    expect(page.get_by_text("The one job that matches.")).to_be_visible()
    page.goto(f"/#/failed?source={source}")
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as saved:
        page.get_by_role("dialog").get_by_role("button", name="Download").click()
    expect(page.get_by_role("status").filter(has_text="Saved 55 jobs.")).to_be_visible()
    saved.value.save_as(tmp_path / "jobs")
    jobs = [json.loads(line) for line in (tmp_path / "jobs").read_text().splitlines()]
    assert {job["id"] for job in jobs} == set(ids)
    assert saved.value.suggested_filename.endswith(".ndjson")


def test_new_jobs_do_not_move_what_one_reads(page: Page, client: httpx.Client, source: str) -> None:
    first = submit(client, source)
    page.goto(f"/#/jobs?source={source}")
    expect(job_rows(page)).to_have_count(1)
    fresh = page.get_by_role("button", name="Show what is new")
    page.reload()
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    expect(job_rows(page)).to_have_count(1)
    expect(fresh).to_be_hidden()
    second = submit(client, source)
    expect(fresh).to_be_visible()
    expect(job_rows(page)).to_have_count(1)
    page.set_viewport_size({"width": 390, "height": 844})
    header, button = page.locator("header").bounding_box(), fresh.bounding_box()
    assert header
    assert button
    assert button["y"] >= header["y"] + header["height"]  # on a phone it covers no name of the page
    fresh.click()
    expect(job_rows(page)).to_contain_text([second, first])
    expect(fresh).to_be_hidden()


def test_the_active_jobs_come_and_go_by_themselves(page: Page, client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    page.goto(f"/#/active?source={source}")
    expect(page.get_by_text("No job matches this filter.")).to_be_visible()
    client.get(f"/job/available/{source}?lease=1000", headers={"boss-converter": "host-3/17"})
    # The list is read every three seconds, or less often where that takes long.
    expect(job_rows(page)).to_contain_text([id], timeout=30_000)
    expect(job_rows(page)).to_contain_text(["host-3/17"])
    expect(job_rows(page)).to_contain_text(["min left"])
    client.post(f"/job/done/{source}/{id}")
    expect(job_rows(page)).to_have_count(0, timeout=30_000)


def test_sources_are_found_and_sorted(page: Page, client: httpx.Client, source: str) -> None:
    for number in range(3):
        for _ in range(number + 1):
            submit(client, f"{source}-{number}")
    client.put(f"/source/{source}-1", json={"paused": True, "limit": 4})
    page.goto("/#/sources")
    page.get_by_label("Show only sources").fill(source)
    names = job_rows(page).locator("a.go")
    expect(names).to_have_text([f"{source}-{number}" for number in range(3)])
    page.get_by_role("button", name="Sort by available").click()
    expect(names).to_have_text([f"{source}-{number}" for number in (2, 1, 0)])
    page.reload()  # the address has both
    expect(names).to_have_text([f"{source}-{number}" for number in (2, 1, 0)])
    expect(job_rows(page).nth(1)).to_contain_text("at most 4 active")
    submit(client, f"{source}-0")
    expect(job_rows(page).nth(2).locator("td.number")).to_have_text(["2", "0", "0"])
    page.get_by_label("Show only sources").fill("paused")
    expect(names.filter(has_text=source)).to_have_text([f"{source}-1"])
    names.filter(has_text=source).click()
    expect(page.get_by_role("heading", level=1, name=f"{source}-1")).to_be_visible()
    page.get_by_role("region", name="Jobs", exact=True).get_by_role("link", name=re.compile("^Ready")).click()
    expect(job_rows(page)).to_have_count(2)
    expect(job_rows(page).locator(".pill")).to_have_text(["paused"] * 2)  # they are available, and yet not ready
    expect(page.get_by_text("delayed, after others or paused are available, too")).to_be_visible()


def test_converters(page: Page, client: httpx.Client, source: str) -> None:
    page.goto("/#/converters")
    submit(client, source)
    client.get(f"/job/available/{source}", headers={"boss-converter": f"host-{source}/17"})
    line = job_rows(page).filter(has_text=f"host-{source}/17")
    expect(line).to_contain_text(source, timeout=20_000)
    expect(line.locator("td.number")).to_have_text(["1", "1"])


def test_schedules(page: Page, client: httpx.Client, source: str) -> None:
    page.goto("/#/schedules")
    page.get_by_role("button", name="New schedule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill(f"{source}-nightly")
    dialog.get_by_label("Source").fill(source)
    dialog.get_by_label("Cron line").fill("0 3 * *")
    dialog.get_by_label("Document").fill('{"big": 123456789012345678901234567890}')
    dialog.get_by_role("button", name="Set it").click()
    expect(dialog.get_by_role("alert")).to_contain_text("takes 5 fields")
    dialog.get_by_label("Cron line").fill("0 3 * * *")
    dialog.get_by_role("button", name="Set it").click()
    line = job_rows(page).filter(has_text=f"{source}-nightly")
    expect(line).to_contain_text("none yet")
    line.get_by_role("button", name="Run now").click()
    page.get_by_role("button", name="Run it").click()
    expect(page.get_by_role("status").filter(has_text="has submitted a job.")).to_be_visible()
    [job] = client.get(f"/jobs?source={source}").json()["jobs"]
    line.get_by_role("button", name="Pause").click()
    expect(line).to_contain_text("paused")
    # Neither pausing nor editing changes what is not shown, nor the digits of a number.
    line.get_by_role("button", name="Edit").click()
    dialog.get_by_label("Cron line").fill("0 4 * * *")
    dialog.get_by_role("button", name="Set it").click()
    expect(line).to_contain_text("0 4 * * *")
    text = client.get(f"/schedule/{source}-nightly").text
    assert "123456789012345678901234567890" in text
    assert json.loads(text)["paused"] is True
    expect(line.get_by_role("link", name=job["id"])).to_be_visible()
    line.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    expect(line).to_have_count(0)


def test_the_audit(browser: Browser, database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        for number in range(60):
            client.put("/source/freg", json={"limit": number + 1})
        for page in opened(browser, boss.url):
            page.goto("/#/audit")
            expect(job_rows(page)).to_have_count(50)
            expect(job_rows(page).first).to_contain_text("limit 60")
            page.get_by_role("link", name="Next page").click()
            expect(job_rows(page)).to_have_count(10)
            expect(job_rows(page).last).to_contain_text("limit 1")
            page.go_back()
            expect(job_rows(page).first).to_contain_text("limit 60")
            for paused in (True, False):
                client.put("/source/freg", json={"limit": 60, "paused": paused})
            client.put("/source/freg", json={"limit": 61, "paused": True})
            client.put("/source/sirius", json={"paused": True})
            page.get_by_role("button", name="Refresh").click()
            did = job_rows(page).locator("td:nth-child(3)")
            rule = "set the rule of a source"
            wanted = ["paused a source", rule, "resumed a source", "paused a source", rule]
            expect(did).to_have_text([*wanted, *[rule] * 45])


def test_empty_lists_say_what_to_do_first(browser: Browser, database: str) -> None:
    with boss_running("--database", database) as boss:
        for page in opened(browser, boss.url):
            for name, words in {
                "sources": "The first job of a source makes it",
                "converters": "boss work freg",
                "schedules": "submits a job by itself",
                "failed": "are listed here with their reasons",
                "active": "no converter is at work now",
                "audit": "What administrators do",
            }.items():
                page.goto(f"/#/{name}")
                expect(page.locator(".empty:visible")).to_contain_text(words)
