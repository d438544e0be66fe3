"""The dashboard, in a real browser on a real Boss."""

import json
import re
import shutil
import signal
from collections.abc import Iterator

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.helpers.browser import LAUNCH
from tests.helpers.jobs import record
from tests.helpers.page import Scheme, browser, job_rows, json_of, numbers, opened, press, row, to_overview
from tests.helpers.requests import submit
from tests.helpers.servers import PATIENCE, BossProcess, boss_running, free_port

__all__ = ["browser"]  # a fixture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which(LAUNCH["executable_path"]), reason="chromium (Debian's package) is not installed here"
    ),
]
DOCUMENT = '{"html": "<b>bold</b>", "big": 123456789012345678901234567890, "exact": 1.10, "deep": {"a": [1, {}, []]}}'


@pytest.fixture
def page(browser: Browser, module_boss: BossProcess) -> Iterator[Page]:
    """The page of the module's Boss; whatever it complains of, or asks of anybody else, is an error."""
    yield from opened(browser, module_boss.url)


class TestFeed:
    def test_it_is_live_in_every_window(
        self, browser: Browser, module_boss: BossProcess, page: Page, client: httpx.Client, source: str
    ) -> None:
        for other in opened(browser, module_boss.url):
            windows = (page, other)
            id, *_ = (submit(client, source) for _ in range(12))
            for window in windows:
                expect(numbers(window, source)).to_have_text(["12", "0", "0"])
            client.get(f"/job/available/{source}")
            for window in windows:
                expect(numbers(window, source)).to_have_text(["11", "1", "0"])
            client.post(f"/job/done/{source}/{id}?outcome=failed")
            for window in windows:
                expect(numbers(window, source)).to_have_text(["11", "0", "1"])

    def test_a_hidden_window_holds_no_connection(self, page: Page, client: httpx.Client, source: str) -> None:
        hide = """(hidden) => {
            Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
        submit(client, source)
        expect(row(page, source)).to_be_visible()
        page.evaluate(hide, True)
        submit(client, f"{source}-later")
        page.wait_for_timeout(2500)
        expect(row(page, f"{source}-later")).to_have_count(0)
        page.evaluate(hide, False)
        expect(row(page, f"{source}-later")).to_be_visible()

    def test_the_server_restarts_while_it_is_open(self, browser: Browser, database: str) -> None:
        port = free_port()
        with boss_running("--database", database, port=port) as first, first.client() as client:
            pages = opened(browser, first.url)
            page = next(pages)
            expect(page.get_by_text("No job has been submitted yet")).to_be_visible()
            submit(client, "freg")
            expect(numbers(page, "freg")).to_have_text(["1", "0", "0"])
            assert first.terminate() == 0  # an open page does not keep it
        expect(page.get_by_text("Boss is away; trying again")).to_be_visible()
        # Pages that are opened meanwhile have nothing, and do not say that there is nothing.
        page.evaluate("location.hash = '#/sources'")
        expect(page.get_by_role("heading", level=1, name="Sources")).to_be_visible()
        page.wait_for_timeout(500)
        expect(page.get_by_text("no source yet")).to_have_count(0)
        names = {"audit": "Audit", "source/freg": "freg", "failed?group=reason": "Failed jobs", "jobs": "Jobs"}
        for name, title in names.items():
            page.evaluate("(name) => { location.hash = `#/${name}`; }", name)
            expect(page.get_by_role("heading", level=1, name=title, exact=True)).to_be_attached()
            page.wait_for_timeout(200)
        with boss_running("--database", database, port=port) as second, second.client() as client:
            expect(job_rows(page)).to_have_count(1, timeout=1000 * PATIENCE)
            page.go_back()
            expect(page.get_by_text("No job that matches has failed.")).to_be_visible()
            page.go_back()
            expect(page.get_by_role("button", name="Submit a job")).to_have_count(2)
            expect(page.get_by_text("No job that matches has failed.")).to_be_visible()
            page.go_back()
            expect(page.get_by_text("0 events")).to_be_visible()
            page.go_back()
            expect(job_rows(page)).to_have_count(1)
            to_overview(page)
            submit(client, "freg")
            expect(numbers(page, "freg")).to_have_text(["2", "0", "0"])
            expect(page.get_by_text("Live", exact=True)).to_be_visible()
            for _ in pages:
                pass

    def test_a_server_that_says_nothing_is_away(self, browser: Browser, database: str) -> None:
        with boss_running("--database", database) as boss:
            pages = opened(browser, boss.url)
            page = next(pages)
            expect(page.get_by_text("Live", exact=True)).to_be_visible()
            boss.process.send_signal(signal.SIGSTOP)
            try:
                expect(page.get_by_text("Boss is away; trying again")).to_be_visible(timeout=1000 * PATIENCE)
            finally:
                boss.process.send_signal(signal.SIGCONT)
            expect(page.get_by_text("Live", exact=True)).to_be_visible(timeout=1000 * PATIENCE)
            for _ in pages:
                pass


class TestJob:
    def test_found_by_its_id(self, page: Page, client: httpx.Client, source: str) -> None:
        id = submit(client, f"{source}/Natural.key~{source}", DOCUMENT)
        expect(page.get_by_role("searchbox", name="Find a job")).to_be_visible()
        page.keyboard.press("/")
        page.keyboard.type(id)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=id)).to_be_visible()
        shown = json_of(page, "Document").inner_text()
        for line in ('"html": "<b>bold</b>"', '"big": 123456789012345678901234567890', '"exact": 1.10', '"a": ['):
            assert line in shown
        assert json.loads(shown) == json.loads(DOCUMENT)
        to_overview(page)
        expect(row(page, source)).to_be_visible()
        page.get_by_role("searchbox", name="Find a job").fill("no-such")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="There is no job no-such")).to_be_visible()

    def test_the_note_of_its_converter(self, page: Page, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        client.get(f"/job/available/{source}")
        page.goto(f"/#/job/{id}")
        expect(page.get_by_role("heading", name="Document")).to_be_visible()
        expect(page.get_by_role("heading", name="Note")).to_have_count(0)
        client.put(f"/job/active/{source}/{id}", content='{"html": "<b>bold</b>", "exact": 1.10}')
        page.reload()
        for line in ('"html": "<b>bold</b>"', '"exact": 1.10'):
            expect(json_of(page, "Note")).to_contain_text(line)

    def test_its_whole_life_by_the_buttons(self, page: Page, client: httpx.Client, source: str) -> None:
        id = submit(client, source, DOCUMENT, priority=4, attempts=7)
        page.goto(f"/#/job/{id}")
        # Takers of any source, of other tests, count as its converters, too.
        why = re.compile(f"Why nobody has it yet: (nobody asks for jobs|it is the next) of {source}")
        expect(page.get_by_text(why)).to_be_visible()
        client.get(f"/job/available/{source}?lease=600")
        press(page, "Give back")
        page.get_by_role("button", name="Cancel").click()
        press(page, "Give back")
        page.get_by_role("button", name="Give it back").click()
        expect(page.get_by_role("status").filter(has_text=f"{id} is available again.")).to_be_visible()
        assert record(client, id)["state"] == "available"
        press(page, "Stop")
        page.get_by_role("button", name="Stop it").click()
        expect(page.get_by_text("stopped", exact=True)).to_be_visible()
        press(page, "Submit again")
        page.get_by_role("button", name="Submit it again").click()
        expect(page.get_by_text("available", exact=True)).to_be_visible()
        [new, old] = client.get(f"/jobs?source={source}").json()["jobs"]
        assert page.url.endswith(f"#/job/{new['id']}")
        assert (old["id"], old["outcome"], old["attempt"]) == (id, "stopped", 1)
        assert (new["state"], new["priority"], new["attempts"]) == ("available", 4, 7)
        bodies = [client.get(f"/job/{job['state']}/{source}/{job['id']}").text for job in (new, old)]
        assert bodies[0].partition('"job":')[2] == bodies[1].partition('"job":')[2]

    def test_why_nobody_has_it(self, page: Page, client: httpx.Client, source: str) -> None:
        first, second = submit(client, source), submit(client, source)
        client.get(f"/job/available/{source}")
        third = submit(client, source, priority=-1)
        delayed = submit(client, source, delay=3600)
        for id, why in (
            (second, f"It is the next of {source}"),
            (third, f"it waits behind 1 job of {source}"),
            (delayed, "it is delayed until"),
        ):
            page.goto(f"/#/job/{id}")
            expect(page.get_by_text(f"Why nobody has it yet: {why}")).to_be_visible()
        # As the other times, in the zone that is shown.
        expect(page.locator(".why time")).to_have_attribute("title", re.compile("local time\\n.* UTC"))
        page.goto(f"/#/job/{first}")
        expect(page.get_by_text("min left")).to_be_visible()
        client.post(f"/job/done/{source}/{first}", content='{"rows": 1.50}')
        expect(json_of(page, "Result")).to_have_text('{"rows": 1.50}')

    def test_submitting(self, page: Page, client: httpx.Client, source: str) -> None:
        page.get_by_role("button", name="Submit a job").click()
        dialog = page.get_by_role("dialog")
        send = dialog.get_by_role("button", name="Submit it")
        send.click()
        expect(dialog.get_by_role("alert")).to_have_text("Say which source the job is of.")
        dialog.get_by_label("Source").fill(source)
        dialog.get_by_label("Document").fill('{"a": }')
        send.click()
        expect(dialog.get_by_role("alert")).to_contain_text("The document is not JSON")
        dialog.get_by_label("Document").fill("[1]")
        send.click()
        expect(dialog.get_by_role("alert")).to_contain_text("The document is an array")
        dialog.get_by_label("Document").fill(DOCUMENT)
        dialog.get_by_label("Id").fill(f"{source}-id")
        dialog.get_by_label("Priority").fill("9")
        dialog.get_by_label("Attempts").fill("2")
        send.click()
        expect(page.get_by_role("heading", name=f"{source}-id")).to_be_visible()
        shown = record(client, f"{source}-id")
        assert (shown["priority"], shown["attempts"], shown["due"]) == (9, 2, None)
        page.get_by_role("button", name="Submit a job").click()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    browser: Browser, module_boss: BossProcess, client: httpx.Client, source: str, scheme: Scheme
) -> None:
    ids = [submit(client, source, attempts=1) for _ in range(4)]
    client.get(f"/job/available/{source}?limit=3")
    client.request("DELETE", f"/job/active/{source}/{ids[0]}", content='{"error": "no column a"}')
    client.post(f"/job/done/{source}/{ids[1]}", content='{"rows": 1}')
    for page in opened(browser, module_boss.url, scheme):
        expect(row(page, source)).to_be_visible()
        found = [Axe().run(page)]
        for id in (ids[1], ids[2], ids[3]):
            page.goto(f"/#/job/{id}")
            expect(page.get_by_role("heading", name=id)).to_be_visible()
            found.append(Axe().run(page))
        page.get_by_role("button", name="Submit a job").click()
        found.append(Axe().run(page))
        assert [violation["id"] for each in found for violation in each.response["violations"]] == []


class TestSigningIn:
    def test_with_a_token_one_sees_what_it_is_for(self, browser: Browser, database: str) -> None:
        with boss_running("--database", database) as boss, boss.client() as client:
            root = client.post("/token/root", json={"role": "admin"}).json()["token"]
            client.headers["authorization"] = f"Bearer {root}"
            reader = client.post("/token/reader", json={"role": "submitter", "sources": ["freg"]}).json()["token"]
            id = submit(client, "freg")
            submit(client, "other")
            for page in opened(browser, boss.url):
                expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
                expect(page.get_by_role("button", name="Submit a job")).to_be_hidden()
                assert Axe().run(page).response["violations"] == []
                token = page.get_by_label("Token")
                expect(token).to_be_focused()
                token.fill("boss_wrong")
                token.press("Enter")
                expect(page.get_by_role("alert")).to_contain_text("unknown, expired or revoked")
                token.fill(reader)
                token.press("Enter")
                expect(row(page, "freg")).to_be_visible()
                expect(row(page, "other")).to_have_count(0)
                expect(page.locator("#session")).to_contain_text("reader")
                assert page.evaluate("document.cookie") == ""
                page.goto("/#/source/other")
                expect(
                    page.get_by_text("This token may not see a source of this name, or there is none.")
                ).to_be_visible()
                # It stays signed in, and the page of a job comes at once.
                page.goto(f"/#/job/{id}")
                page.reload()
                expect(page.get_by_role("heading", name=id)).to_be_visible()
                expect(page.get_by_text("by root")).to_be_visible()
                # What a submitter may not do is not offered.
                main = page.get_by_role("main")
                expect(main.get_by_role("button", name="Change")).to_be_visible()
                expect(main.get_by_role("button", name="Stop")).to_have_count(0)
                page.get_by_role("button", name="Sign out").click()
                expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
                page.reload()
                expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    def test_who_is_revoked_is_asked_again(self, browser: Browser, database: str) -> None:
        with boss_running("--database", database) as boss, boss.client() as client:
            root = client.post("/token/root", json={"role": "admin"}).json()["token"]
            client.headers["authorization"] = f"Bearer {root}"
            reader = client.post("/token/reader", json={"role": "submitter"}).json()["token"]
            submit(client, "freg")
            for page in opened(browser, boss.url):
                page.get_by_label("Token").fill(reader)
                page.keyboard.press("Enter")
                expect(row(page, "freg")).to_be_visible()
                page.get_by_role("button", name="Submit a job").click()
                dialog = page.get_by_role("dialog")
                dialog.get_by_label("Source").fill("freg")
                dialog.get_by_label("Document").fill('{"written": "by hand"}')
                client.delete("/token/reader")
                submit(client, "freg")  # news, which are not for them any more
                expect(page.get_by_text("Not signed in")).to_be_attached()
                send = dialog.get_by_role("button", name="Submit it")
                send.click()
                expect(dialog.get_by_role("alert")).to_contain_text("You are not signed in any more.")
                # Who signs in elsewhere sends what they have written.
                again = client.post("/token/again", json={"role": "submitter"}).json()["token"]
                page.evaluate("(body) => fetch('/session', { method: 'POST', body })", json.dumps({"token": again}))
                expect(dialog.get_by_label("Document")).to_have_value('{"written": "by hand"}')
                send.click()
                expect(json_of(page, "Document")).to_contain_text("by hand")
                expect(page.get_by_text("Live", exact=True)).to_be_visible()
                page.get_by_role("button", name="Submit a job").click()
                client.delete("/token/again")
                submit(client, "freg")
                expect(page.get_by_text("Not signed in")).to_be_attached()
                page.keyboard.press("Escape")
                expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_what_became_of_a_job_says_who_and_why(browser: Browser, page: Page, client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    client.get(f"/job/available/{source}")
    client.request("DELETE", f"/job/active/{source}/{id}?delay=0", content='{"error": "no space left"}')
    client.get(f"/job/available/{source}")
    page.goto(f"/#/job/{id}")
    history = page.locator("section", has=page.get_by_role("heading", name="History"))
    expect(history).to_contain_text("Attempt 1")
    expect(history).to_contain_text("Given back")
    expect(history).to_contain_text("no space left")
    press(page, "Stop")
    page.get_by_label("Reason").fill("the wrong file")
    page.get_by_role("button", name="Stop it").click()
    expect(history).to_contain_text("Stopped")
    expect(history).to_contain_text("the wrong file")
    assert record(client, id)["result"] == {"reason": "the wrong file"}
