"""Names that clients or the dashboard could misread: `.` and `..`, and what every JavaScript object has."""

import json
import shutil
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.helpers.browser import LAUNCH
from tests.helpers.databases import new_database, run_in
from tests.helpers.ndjson import LINES
from tests.helpers.page import browser, json_of, numbers, opened, row, to_overview
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running
from tests.helpers.wire import Wire

__all__ = ["browser"]  # a fixture

# Every object has these, and some of what they are is no number, no array, or the object itself.
OBJECTS = [
    *("toString", "constructor", "__proto__", "hasOwnProperty", "length", "valueOf", "__defineGetter__", "prototype"),
    *("then", "toJSON", "undefined", "null", "NaN", "0", "-", "_", "...", "a..", "x" * 100),
]


@pytest.fixture(scope="module")
def odd(postgres: str) -> Iterator[tuple[BossProcess, str]]:
    """A Boss, and its database."""
    for url in new_database(postgres):
        with boss_running("--database", url) as boss:
            yield boss, url


class TestDots:
    """No client can address them: a URL with such a part in it is another one, percent-encoded or not."""

    @pytest.mark.parametrize("name", [".", "..", "%2e", "%2E.", ".%2e"])
    def test_no_job_is_submitted_under_one(self, module_boss: BossProcess, name: str) -> None:
        for path in (f"/job/available/dots/{name}", f"/job/available/{name}", f"/job/available/{name}/x"):
            with Wire(module_boss.port) as wire:
                reply = wire.request("POST", path, body=b"{}").reply()
                assert reply.status == 400
                assert "no client can address" in json.loads(reply.body)["detail"]

    @pytest.mark.parametrize("name", [".", ".."])
    def test_nor_by_a_line(self, client: httpx.Client, name: str) -> None:
        lines = f'{{"id": "fine-{len(name)}", "job": {{}}}}\n{{"id": "{name}", "job": {{}}}}\n'
        answer = client.post("/job/available/dots?ids=given", content=lines, headers=LINES)
        assert_problem(answer, 400, "Line 2: .*client can address")
        assert "dots" not in client.get("/job").json()["available"]

    @pytest.mark.parametrize("name", ["...", ".a", "a.", "..a", "a..", "-", "~", "_"])
    def test_others_with_dots_are_names(self, client: httpx.Client, source: str, name: str) -> None:
        submit(client, f"{source}{name.replace('~', '')}/{source}{name}")
        submit(client, f"{name.replace('~', '-')}/{name}")
        assert client.get(f"/jobs/{name}").json()["id"] == name
        assert client.post(f"/job/done/{name.replace('~', '-')}/{name}").status_code == 200

    def test_what_has_such_a_name_already_can_be_finished(self, odd: tuple[BossProcess, str]) -> None:
        boss, url = odd
        run_in(url, "INSERT INTO job (id, source, document) VALUES ('.', 'dots', '{}'), ('..', '..', '{}')")
        with boss.client() as client, Wire(boss.port) as wire:
            assert {"dots", ".."} <= set(client.get("/job").json()["available"])
            assert ".. " in client.get("/job", headers={"accept": "text/plain"}).text.replace("\n", " ")
            assert {job["id"] for job in client.get("/jobs?source=..").json()["jobs"]} == {".."}
            assert client.get("/job/available/dots").json()["id"] == "."
            lines = '{"id": ".", "attempt": 1}\n'
            assert client.post("/job/done/dots", content=lines, headers=LINES).text == '{"id":".","status":200}\n'
            assert wire.request("POST", "/job/done/../..").reply().status == 200
            assert {job["state"] for job in client.get("/jobs?limit=1000").json()["jobs"] if "." in job["id"]} == {
                "done"
            }


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not shutil.which(LAUNCH["executable_path"]), reason="chromium (Debian's package) is not installed here"
    ),
]


@pytest.fixture
def page(browser: object, odd: tuple[BossProcess, str]) -> Iterator[Page]:
    """The page of that Boss; whatever it complains of is an error."""
    yield from opened(browser, odd[0].url)  # type: ignore[arg-type]


@pytest.fixture
def there(odd: tuple[BossProcess, str]) -> Iterator[httpx.Client]:
    with odd[0].client() as client:
        yield client


class TestPage:
    def test_sources_with_names_of_objects_own(self, page: Page, there: httpx.Client) -> None:
        expect(page.get_by_text("Live", exact=True)).to_be_visible()
        for name in OBJECTS:
            ids = [submit(there, name, attempts=1) for _ in range(3)]
            there.get(f"/job/available/{name}")
            there.post(f"/job/done/{name}/{ids[1]}?outcome=failed", content='{"error": "toString"}')
        for again in range(2):
            for name in OBJECTS:
                expect(numbers(page, name)).to_have_text(["1", "1", "1"])
            if not again:
                page.reload()
        page.get_by_role("searchbox", name="Show only sources").fill("proto")
        expect(page.locator(".all-sources tbody tr")).to_have_count(2)
        row(page, "__proto__").get_by_role("link").click()
        expect(page.get_by_role("heading", level=1, name="__proto__")).to_be_visible()
        expect(page.get_by_role("region", name="Jobs", exact=True)).to_contain_text("Ready1")

    def test_jobs_with_names_of_objects_own(self, page: Page, there: httpx.Client) -> None:
        for name in OBJECTS[:-1]:
            there.post(f"/job/available/names/{name}", content='{"__proto__": {"reason": 1}, "toString": null}')
            page.goto(f"/#/job/{name}")
            expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
            expect(json_of(page, "Document")).to_contain_text('"toString": null')

    def test_a_malformed_address(self, page: Page) -> None:
        for address in ("%", "%E0%A4%A", "%00", "a/b", "%F0%9F%98%80", "..", "x" * 5000):
            page.goto(f"/#/job/{address}")
            page.reload()
            expect(page.get_by_role("heading", name="That cannot be shown")).to_be_visible()
            to_overview(page)
            expect(page.locator(".all-sources").or_(page.get_by_text("No job has been submitted yet"))).to_be_visible()

    def test_no_address_is_the_overview(self, page: Page, there: httpx.Client) -> None:
        submit(there, "there")
        for address in ("", "#", "#/"):
            page.goto(f"/{address}")
            page.reload()
            expect(row(page, "there")).to_be_visible()

    def test_an_unknown_address_says_so(self, page: Page, there: httpx.Client) -> None:
        submit(there, "there")
        for address in ("#/job/", "#/job", "#%", "#/nothing", "#/failed/x", "#__proto__", "#toString"):
            page.goto(f"/{address}")
            page.reload()
            expect(page.get_by_role("heading", name="There is no page at this address")).to_be_visible()
            assert page.title() == "No such page · Boss"
            page.get_by_role("link", name="Go to the overview").click()
            expect(row(page, "there")).to_be_visible()

    def test_results_of_every_kind(self, page: Page, there: httpx.Client, odd: tuple[BossProcess, str]) -> None:
        """Also some that only came by SQL, and text that would turn the line around it."""
        for number, result in enumerate(
            ["null", "[]", '"text"', "1e300", '{"reason": {"a": 1}}', '{"reason": null}', "{}"]
        ):
            id = f"result-{number}"
            submit(there, f"results/{id}")
            there.post(f"/job/done/results/{id}?outcome=stopped")
            run_in(odd[1], f"UPDATE job SET result = '{result}' WHERE id = '{id}'")
            page.goto(f"/#/job/{id}")
            expect(page.get_by_role("heading", name=id)).to_be_visible()
            expect(page.get_by_role("heading", name="Stopped", exact=True)).to_be_visible()
        turned = "\u202eevil\u2066 \u200f<b>"
        submit(there, "results/turned")
        there.post("/job/done/results/turned?outcome=stopped", content=json.dumps({"reason": turned}))
        page.goto("/#/job/turned")
        reason = page.locator(".timeline .reason")
        expect(reason).to_have_text(turned)
        # A line of its own, so that nothing in it turns what stands around it.
        assert reason.evaluate("(element) => getComputedStyle(element).display") == "block"

    def test_a_large_and_a_deep_document(self, page: Page, there: httpx.Client) -> None:
        there.post("/job/available/large/long", content=json.dumps({"a": 'x\\"' * 150_000}))
        there.post("/job/available/large/deep", content='{"a":' * 1000 + "1" + "}" * 1000)
        for id, text in (("long", 'x\\\\\\"x'), ("deep", '"a": {')):
            page.goto(f"/#/job/{id}")
            expect(json_of(page, "Document")).to_contain_text(text)
