"""Acts on many jobs, and on a source, by the dashboard; and what a token may not do, which is not offered."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import httpx
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.helpers.jobs import record
from tests.helpers.ndjson import LINES
from tests.helpers.page import IN_BROWSER, browser, job_rows, opened, page
from tests.helpers.requests import submit
from tests.helpers.servers import boss_running

__all__ = ["browser", "page"]  # fixtures

pytestmark = IN_BROWSER


def failed(client: httpx.Client, source: str, number: int) -> list[str]:
    ids = [submit(client, source, attempts=1) for _ in range(number)]
    client.get(f"/job/available/{source}?limit={number}")
    for id in ids:
        client.post(f"/job/done/{source}/{id}?outcome=failed", json={"error": f"no column a of {source}"})
    return ids


def states(client: httpx.Client, ids: list[str]) -> list[str]:
    return [record(client, id)["state"] for id in ids]


def tools(page: Page) -> Locator:
    return page.get_by_role("group", name="Act on many")


class TestSelected:
    def test_rows_are_selected_one_by_one_and_from_one_to_another(
        self, page: Page, client: httpx.Client, source: str
    ) -> None:
        ids = failed(client, source, 6)
        page.goto(f"/#/failed?source={source}")
        boxes = job_rows(page).get_by_role("checkbox")
        boxes.nth(1).click()
        boxes.nth(4).click(modifiers=["Shift"])
        expect(tools(page)).to_contain_text("4 jobs selected")
        boxes.nth(2).click()
        expect(tools(page)).to_contain_text("3 jobs selected")
        tools(page).get_by_role("button", name="Redo").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("heading")).to_have_text("Redo 3 jobs?")
        dialog.get_by_role("button", name="Redo them").click()
        expect(page.get_by_role("status").filter(has_text="Redone: 3 jobs.")).to_be_visible()
        expect(job_rows(page)).to_have_count(3)
        assert states(client, ids) == ["done", "available", "available", "done", "available", "done"]
        page.get_by_label("Select all rows shown").check()
        tools(page).get_by_role("button", name="Delete").click()
        dialog.get_by_role("button", name="Delete them").click()
        expect(page.get_by_role("status").filter(has_text="Deleted: 3 jobs.")).to_be_visible()
        assert [client.get(f"/jobs/{id}").status_code for id in ids].count(404) == 3

    def test_the_keyboard_selects_and_escape_selects_nothing(
        self, page: Page, client: httpx.Client, source: str
    ) -> None:
        failed(client, source, 2)
        page.goto(f"/#/failed?source={source}")
        expect(job_rows(page)).to_have_count(2)
        page.keyboard.press("j")
        page.keyboard.press("x")
        expect(tools(page)).to_contain_text("1 job selected")
        page.keyboard.press("Escape")
        expect(tools(page)).not_to_contain_text("selected")

    def test_only_what_can_be_is_stopped(self, page: Page, client: httpx.Client, source: str) -> None:
        [over] = failed(client, source, 1)
        waiting = [submit(client, source) for _ in range(2)]
        page.goto(f"/#/jobs?source={source}")
        expect(job_rows(page)).to_have_count(3)
        page.get_by_label("Select all rows shown").check()
        tools(page).get_by_role("button", name="Stop").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("heading")).to_have_text("Stop 2 jobs?")
        expect(dialog).to_contain_text("1 selected job cannot be")
        dialog.get_by_label("Reason").fill("the wrong file")
        dialog.get_by_role("button", name="Stop them").click()
        expect(dialog).to_have_count(0)
        assert [record(client, id)["outcome"] for id in (*waiting, over)] == ["stopped", "stopped", "failed"]
        assert record(client, waiting[0])["result"] == {"reason": "the wrong file"}

    def test_what_went_wrong_is_said(self, page: Page, client: httpx.Client, source: str) -> None:
        first, second = failed(client, source, 2)
        page.goto(f"/#/failed?source={source}")
        expect(job_rows(page)).to_have_count(2)
        page.get_by_label("Select all rows shown").check()
        client.delete(f"/job/done/{source}/{first}")
        tools(page).get_by_role("button", name="Redo").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Redo them").click()
        expect(dialog.get_by_role("heading")).to_have_text("Redone: 1 job.")
        expect(dialog.get_by_role("alert")).to_contain_text(first)
        assert states(client, [second]) == ["available"]


class TestMatching:
    def test_all_that_match_over_sources_and_outcomes(self, page: Page, client: httpx.Client, source: str) -> None:
        ids = [id for name in (f"{source}-a", f"{source}-b") for id in failed(client, name, 60)]
        other = failed(client, f"{source}-c", 1)
        client.request("DELETE", f"/job/done/{source}-c/{other[0]}")
        page.goto(f"/#/failed?reason=NO+COLUMN+a+of+{source}-&last=1d")
        expect(job_rows(page).first).to_be_visible()
        page.get_by_role("button", name="Redo all that match").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("heading")).to_have_text("Redo 120 jobs of 2 sources?")
        late = failed(client, f"{source}-a", 1)  # it was not counted
        dialog.get_by_role("button", name="Redo them").click()
        expect(page.get_by_role("status").filter(has_text="Redone: 120 jobs.")).to_be_visible()
        assert set(states(client, ids)) == {"available"}
        assert states(client, late) == ["done"]
        client.request("DELETE", f"/job/done/{source}-a/{late[0]}")

    def test_acts_are_about_the_list_as_it_was_read_last(self, page: Page, client: httpx.Client, source: str) -> None:
        failed(client, source, 1)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if "since=" in request.url else None)
        page.goto(f"/#/failed?source={source}&last=15m&outcome=failed")
        expect(job_rows(page)).to_have_count(1)
        failed(client, source, 1)
        page.get_by_role("button", name="Show what is new").click()
        expect(job_rows(page)).to_have_count(2)
        page.get_by_role("button", name="Delete all that match").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("heading")).to_have_text("Delete 2 jobs?")
        dialog.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Download").click()
        with page.expect_download():
            dialog.get_by_role("button", name="Download").click()
        first, *rest = [parse_qs(urlsplit(url).query)["since"] for url in asked]
        assert len(rest) == 3
        assert rest == [rest[0]] * 3 != [first] * 3

    def test_a_source_that_is_refused_stops_none_of_the_others(
        self, page: Page, client: httpx.Client, source: str
    ) -> None:
        first, second = f"{source}-a", f"{source}-b"
        ids = [id for name in (first, second) for id in failed(client, name, 2)]
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url) if "dry_run" in request.url else None)
        # Boss refuses this one.
        page.route(f"**/{first}?*dry_run*", lambda route: route.continue_(url=f"{route.request.url}&until=never"))
        page.goto(f"/#/failed?reason=no+column+a+of+{source}&last=1h")
        expect(job_rows(page)).to_have_count(4)
        page.get_by_role("button", name="Redo all that match").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("heading")).to_have_text("Redo 2 jobs?")
        expect(dialog.get_by_role("alert")).to_contain_text(f"{first}: ")
        assert len(asked) == 4  # only the sources of these jobs are asked, for each outcome
        dialog.get_by_role("button", name="Redo them").click()
        expect(page.get_by_role("status").filter(has_text="Redone: 2 jobs.")).to_be_visible()
        assert states(client, ids) == ["done", "done", "available", "available"]

    def test_all_waiting_jobs_of_a_source_are_stopped(self, page: Page, client: httpx.Client, source: str) -> None:
        ids = [submit(client, source) for _ in range(70)]
        page.goto(f"/#/jobs?source={source}&state=available")
        page.get_by_role("button", name="Stop all that match").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("heading")).to_have_text("Stop 70 jobs?")
        expect(dialog).not_to_contain_text("heartbeat")  # none of them is active
        dialog.get_by_label("Reason").fill("the wrong file")
        dialog.get_by_role("button", name="Stop them").click()
        expect(page.get_by_role("status").filter(has_text="Stopped: 70 jobs.")).to_be_visible()
        assert {record(client, id)["result"]["reason"] for id in ids} == {"the wrong file"}
        # What the feed says then is not new to whoever did it.
        page.wait_for_function(
            "async (source) => (await import('/page/feed.js')).state.counts.get(source)?.[2] === 70", arg=source
        )
        expect(page.get_by_role("button", name="Show what is new")).to_be_hidden()
        page.goto(f"/#/jobs?source={source}&state=done")
        page.get_by_role("button", name="Delete all that match").click()
        dialog.get_by_role("button", name="Cancel").click()
        assert set(states(client, ids)) == {"done"}

    def test_more_than_one_request_moves(self, page: Page, client: httpx.Client, source: str) -> None:
        for _ in range(3):
            answer = client.post(f"/job/available/{source}", content='{"n": 1}\n' * 3500, headers=LINES)
            assert answer.status_code == 201, answer.text
        page.goto(f"/#/jobs?source={source}&state=available")
        page.get_by_role("button", name="Stop all that match").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_role("heading")).to_have_text("Stop 10,500 jobs?")
        dialog.get_by_role("button", name="Stop them").click()
        expect(page.get_by_role("status").filter(has_text="Stopped: 10,500 jobs.")).to_be_visible(timeout=60_000)
        expect(page.get_by_text("No job matches this filter.")).to_be_visible()


class TestRule:
    def test_a_form_sets_it_and_loses_nothing(self, page: Page, client: httpx.Client, source: str) -> None:
        submit(client, source)
        client.put(f"/source/{source}", json={"attempts": 4, "delays": [10, 60.5], "lease": 300})
        page.goto(f"/#/source/{source}")
        page.get_by_role("button", name="Rule").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_label("Attempts of a job")).to_have_value("4")
        dialog.get_by_label("Most active").fill("0")
        dialog.get_by_role("button", name="Set it").click()
        expect(dialog.get_by_role("alert")).to_contain_text("is 0, so no job would be handed out")
        dialog.get_by_label("Most active").fill("7")
        dialog.get_by_label("Attempts of a job").fill("")
        dialog.get_by_role("button", name="Set it").click()
        expect(dialog).to_have_count(0)
        expect(page.get_by_role("region", name="Rule")).to_contain_text("at most 7 active")
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Pause it").click()
        expect(page.get_by_role("region", name="Rule")).to_contain_text("paused")
        page.goto("/#/sources")
        [row] = [each for each in client.get("/source").json()["sources"] if each["source"] == source]
        wanted = {"paused": True, "limit": 7, "attempts": None, "delays": [10.0, 60.5], "lease": 300, "timeout": None}
        assert wanted.items() <= row.items()
        page.get_by_role("button", name=f"Resume {source}", exact=True).click()
        expect(page.get_by_role("button", name=f"Pause {source}", exact=True)).to_be_visible()

    def test_what_somebody_else_has_set_meanwhile_stays(self, page: Page, client: httpx.Client, source: str) -> None:
        submit(client, source)
        page.goto(f"/#/source/{source}")
        page.get_by_role("button", name="Rule").click()
        client.put(f"/source/{source}", json={"limit": 3})
        page.get_by_label("Lease").fill("60")
        page.get_by_role("button", name="Set it").click()
        expect(page.get_by_role("region", name="Rule")).to_contain_text("lease 60 s")
        [row] = [each for each in client.get("/source").json()["sources"] if each["source"] == source]
        assert (row["limit"], row["lease"]) == (3, 60)

    def test_what_somebody_sets_at_the_same_moment_stays(self, page: Page, client: httpx.Client, source: str) -> None:
        submit(client, source)
        client.put(f"/source/{source}", json={"keep_done": 0})

        def overtaken(route: Route) -> None:
            if route.request.method == "PUT" and not client.get(f"/source/{source}").json()["limit"]:
                client.put(f"/source/{source}", json={"limit": 3, "keep_done": 0})
            route.continue_()

        page.goto(f"/#/source/{source}")
        page.route(f"**/source/{source}", overtaken)
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Pause it").click()
        rule = page.get_by_role("region", name="Rule")
        expect(rule).to_contain_text("paused")
        expect(rule).to_contain_text("at most 3 active")
        expect(rule).to_contain_text("kept 0 days")

    def test_a_source_without_jobs_is_deleted(self, page: Page, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        page.goto(f"/#/source/{source}")
        delete = page.get_by_role("main").get_by_role("button", name="Delete")
        expect(delete).to_be_disabled()
        expect(delete).to_have_accessible_description(f"A source with jobs cannot be deleted. {source} has 1 job.")
        delete.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#said")).to_contain_text("cannot be deleted")
        client.post(f"/job/done/{source}/{id}")
        client.delete(f"/job/done/{source}/{id}")
        expect(delete).to_be_enabled()
        delete.click()
        id = submit(client, source)  # meanwhile
        page.get_by_role("button", name="Delete it").click()
        expect(page.get_by_role("alert").filter(visible=True)).to_contain_text("has jobs")
        client.post(f"/job/done/{source}/{id}")
        client.delete(f"/job/done/{source}/{id}")
        page.get_by_role("button", name="Delete it").click()
        expect(page.get_by_role("heading", level=1, name="Sources")).to_be_visible()
        assert source not in {each["source"] for each in client.get("/source").json()["sources"]}


class TestRights:
    def test_a_submitter_is_offered_no_more_than_it_may(self, browser: Browser, database: str) -> None:
        with boss_running("--database", database) as boss, boss.client() as client:
            root = client.post("/token/root", json={"role": "admin"}).json()["token"]
            client.headers["authorization"] = f"Bearer {root}"
            reader = client.post("/token/reader", json={"role": "submitter", "sources": ["freg"]}).json()["token"]
            [id] = failed(client, "freg", 1)
            client.put("/schedule/nightly", json={"source": "freg", "cron": "0 3 * * *"})
            client.put("/source/freg", json={"paused": True})
            submit(client, "freg")
            for page in opened(browser, boss.url):
                page.get_by_label("Token").fill(reader)
                page.keyboard.press("Enter")
                expect(page.get_by_role("navigation", name="Pages of Boss")).to_be_visible()
                # Audit events are for admins; metrics and health are about all sources.
                for name in ("Audit", "Metrics", "Health"):
                    expect(page.get_by_role("link", name=name)).to_have_count(0)
                for address, shows in {
                    "#/": "It is paused, and 1 job is waiting",
                    "#/failed": id,
                    "#/sources": "freg",
                    "#/source/freg": "1 paused",
                    "#/schedules": "nightly",
                    f"#/job/{id}": "no column a",
                }.items():
                    page.goto(f"/{address}")
                    main = page.get_by_role("main")
                    expect(main).to_contain_text(shows)
                    for act in (
                        "Redo",
                        "Stop",
                        "Delete",
                        "Pause",
                        "Resume",
                        "Rule",
                        "Run now",
                        "New schedule",
                        "Give back",
                    ):
                        expect(main.get_by_role("button", name=re.compile(rf"^{act}\b"))).to_have_count(0)
                    expect(main.get_by_role("checkbox")).to_have_count(0)
                expect(main.get_by_role("button", name="Submit again")).to_be_visible()
                # Who signs in in one window is signed in in the others, and sees what is theirs.
                with page.expect_popup() as opening:
                    page.evaluate("(address) => { open(address); }", f"{boss.url}/#/jobs?state=done")
                other = opening.value
                expect(job_rows(other)).to_have_count(1)
                for token, act, name in ((root, "Delete all that match", "root"), (reader, "Download", "reader")):
                    page.get_by_role("button", name="Sign out").click()
                    expect(other.get_by_label("Token")).to_be_visible()
                    page.get_by_label("Token").fill(token)
                    page.keyboard.press("Enter")
                    expect(other.get_by_text(name, exact=True)).to_be_visible()
                    expect(other.get_by_role("button", name=act)).to_be_visible()
                expect(other.get_by_role("button", name="Delete all that match")).to_have_count(0)
                # Without a word, as after a sign-in by another program.
                guest = client.post("/token/guest", json={"role": "admin"}).json()["token"]
                page.evaluate("(body) => fetch('/session', { method: 'POST', body })", json.dumps({"token": guest}))
                other.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
                other.get_by_role("button", name="Delete all that match").click()
                dialog = other.get_by_role("dialog")
                expect(dialog.get_by_role("heading")).to_have_text("Delete 1 job?")
                assert client.delete("/token/guest").status_code == 204
                dialog.get_by_role("button", name="Delete them").click()
                expect(dialog.get_by_role("alert")).to_contain_text("You are not signed in any more.")
