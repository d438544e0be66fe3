"""A job's page in the dashboard holds still, tells what happened, and does what can be done to one job."""

import json
import re

import httpx
from playwright.sync_api import Page, expect

from tests.helpers.jobs import record
from tests.helpers.page import IN_BROWSER, TOO_WIDE, browser, json_of, page, press
from tests.helpers.requests import submit

__all__ = ["browser", "page"]  # fixtures

pytestmark = IN_BROWSER
TRACEBACK = "Traceback (most recent call last):\n  File \"convert.py\", line 41\nKeyError: 'a'"
# Counts what changes below an element.
WATCH = """(element) => {
    window.changes = 0;
    new MutationObserver((all) => (window.changes += all.length))
        .observe(element, { subtree: true, childList: true, characterData: true, attributes: true });
}"""
SELECT = """(element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
}"""
HEIGHT_IN_LINES = """(element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return new Set([...range.getClientRects()].map(({ top }) => top)).size;
}"""
IS_CUT = """({ scrollHeight, clientHeight, scrollWidth, clientWidth }) =>
    scrollHeight > clientHeight || scrollWidth > clientWidth"""
# How far from the left its text starts.
STARTS = """(element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return range.getClientRects()[0].left;
}"""


def large(rows: int) -> str:
    return json.dumps({"rows": [{"id": number, "name": f"person {number}"} for number in range(rows)]})


class TestHoldsStill:
    def test_what_is_selected_scrolled_and_folded_stays(self, page: Page, client: httpx.Client, source: str) -> None:
        document = {"deep": {"a": {"b": 1}}, "text": "\n".join(f"line {number}" for number in range(90))}
        id = submit(client, source, json.dumps(document))
        client.get(f"/job/available/{source}?lease=600")
        page.goto(f"/#/job/{id}")
        tree = json_of(page, "Document")
        tree.get_by_text('"a"').click()  # folds it
        expect(tree.get_by_text('"b"')).to_be_hidden()
        tree.locator(".lines").evaluate("(element) => element.scrollTo(0, 300)")
        tree.locator(".lines").evaluate(SELECT)
        tree.evaluate(WATCH)
        for number in range(3):
            client.put(f"/job/active/{source}/{id}", json={"page": number})
            expect(json_of(page, "Note")).to_have_text(f'{{"page": {number}}}')
        client.post(f"/job/done/{source}/{id}", content='{"rows": 1}')
        expect(json_of(page, "Result")).to_have_text('{"rows": 1}')
        assert page.evaluate("changes") == 0
        assert page.evaluate("getSelection().toString()").startswith("line 0\nline 1\n")
        assert tree.locator(".lines").evaluate("(element) => element.scrollTop") == 300
        expect(tree.get_by_text('"b"')).to_be_hidden()

    def test_a_new_note_keeps_what_is_unchanged_in_it(self, page: Page, client: httpx.Client, source: str) -> None:
        def note(pages: int) -> None:
            progress = {"pages": list(range(pages)), "at": {"page": pages}}
            new = {"new": pages} if pages > 1 else {}
            note = {"deep": {"a": {"b": 1}}, "stable": "this text is selected", **new, "progress": progress}
            client.put(f"/job/active/{source}/{id}", json=note)

        id = submit(client, source)
        client.get(f"/job/available/{source}?lease=600")
        note(1)
        page.goto(f"/#/job/{id}")
        tree = json_of(page, "Note")
        tree.get_by_text('"a"').click()  # folds it
        expect(tree.get_by_text('"b"')).to_be_hidden()
        tree.get_by_text("this text is selected").evaluate(SELECT)
        for pages in (2, 3, 2):
            note(pages)
            expect(tree.get_by_text(f'"page": {pages}')).to_be_visible()
            shown = json.loads(tree.text_content() or "")
            assert (shown["progress"]["pages"], shown["new"]) == (list(range(pages)), pages)
        assert page.evaluate("getSelection().toString()") == '"this text is selected"'
        expect(tree.get_by_text('"b"')).to_be_hidden()
        region = page.get_by_role("region", name="Note")
        region.get_by_role("button", name="As text").click()
        note(7)
        expect(region.locator("pre")).to_contain_text('"page": 7')

    def test_a_large_document_is_drawn_once_and_only_where_it_is_open(
        self, page: Page, client: httpx.Client, source: str
    ) -> None:
        id = submit(client, source, large(25_000))
        read: list[str] = []
        page.on("request", lambda request: read.append(request.url) if f"/jobs/{id}" in request.url else None)
        page.goto(f"/#/job/{id}")
        tree = json_of(page, "Document")
        expect(tree).to_contain_text('"rows"')
        assert tree.locator("*").count() < 100
        tree.evaluate(WATCH)
        for _ in range(4):
            submit(client, f"{source}-other")  # the feed goes on
            page.wait_for_timeout(1100)
        assert page.evaluate("changes") == 0
        assert len(read) <= 2
        tree.get_by_text('"rows"').click()
        expect(tree).to_contain_text('"person 0"')
        assert tree.locator("*").count() < 3000
        tree.get_by_role("button", name="show 100 more of 25,000").click()
        expect(tree).to_contain_text('"person 120"')

    def test_what_has_moved_is_shown_at_once(self, page: Page, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        page.goto(f"/#/job/{id}")
        expect(page.get_by_role("main").get_by_role("button", name="Change")).to_be_visible()
        client.get(f"/job/available/{source}")
        expect(page.get_by_role("main").get_by_role("button", name="Give back")).to_be_visible()
        client.post(f"/job/done/{source}/{id}")
        expect(page.get_by_role("main").get_by_role("button", name="Redo")).to_be_visible()
        client.delete(f"/job/done/{source}/{id}")
        expect(page.get_by_role("heading", name=f"There is no job {id}")).to_be_visible(timeout=15_000)


def test_the_timeline_says_what_happened(page: Page, client: httpx.Client, source: str) -> None:
    id = submit(client, source, attempts=3)
    converter = {"boss-converter": "host-3/17"}
    client.get(f"/job/available/{source}", headers=converter)
    client.request("DELETE", f"/job/active/{source}/{id}?delay=0", json={"error": TRACEBACK})
    client.get(f"/job/available/{source}", headers=converter)
    client.post(f"/job/done/{source}/{id}?outcome=failed", json={"error": "disk full"})
    client.post(f"/job/available/{source}/{id}?from=done")
    client.get(f"/job/available/{source}", headers=converter)
    page.goto(f"/#/job/{id}")
    entries = page.locator(".timeline > li")
    expect(entries.get_by_role("heading")).to_contain_text(
        ["Submitted", "Attempt 1 waited", "Attempt 2 waited", "Made available again", "Attempt 3 waited"]
    )
    expect(entries.nth(1)).to_contain_text("on host-3/17")
    assert entries.nth(1).locator(".lines").inner_text() == TRACEBACK
    expect(entries.nth(2)).to_contain_text("disk full")
    expect(page.get_by_role("region", name="Properties")).to_contain_text("3 of 6")


def test_times_in_local_time_and_in_utc(page: Page, client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    page.goto(f"/#/job/{id}")
    submitted = record(client, id)["submitted"]
    time = page.locator(".timeline time").first
    expect(time).to_have_attribute("datetime", submitted)
    expect(time).to_have_attribute("title", re.compile("local time\\n.* UTC"))
    page.get_by_role("button", name="Show UTC").click()
    expect(time).to_contain_text(f"{submitted[11:19]} UTC")
    page.reload()
    expect(time).to_contain_text("UTC")
    page.get_by_role("button", name="Show local time").click()
    expect(time).not_to_contain_text("UTC")


def test_the_jobs_that_it_comes_after_are_links(page: Page, client: httpx.Client, source: str) -> None:
    before = [submit(client, source) for _ in range(2)]
    id = submit(client, source, after=",".join(before))
    page.goto(f"/#/job/{id}")
    links = page.get_by_role("region", name="Properties").get_by_role("link")
    expect(links).to_have_text(before)
    links.last.click()
    expect(page.get_by_role("heading", level=1, name=before[1])).to_be_visible()


class TestDocument:
    def test_no_line_of_a_traceback_is_broken(self, page: Page, client: httpx.Client, source: str) -> None:
        id = submit(client, source, attempts=1)
        client.get(f"/job/available/{source}")
        marked = TRACEBACK.replace("line 41", f"line 41, in {'a_long_name_of_a_function_' * 4}")
        client.post(f"/job/done/{source}/{id}?outcome=failed", json={"error": marked})
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(f"/#/job/{id}")
        expect(page.locator(".lines")).to_have_count(2)  # in the history and in the result
        assert json_of(page, "Result").locator(".lines").evaluate(HEIGHT_IN_LINES) == len(TRACEBACK.splitlines())
        history = page.locator(".timeline .lines")
        assert history.evaluate("(element) => element.scrollWidth <= element.clientWidth")  # these fit, and are broken
        assert page.evaluate(TOO_WIDE) == []

    def test_texts_of_several_lines_are_lines(self, page: Page, client: httpx.Client, source: str) -> None:
        id = submit(
            client,
            source,
            json.dumps({"trace": TRACEBACK, "html": "<b>\n</b>", "long": "x" * 9000, "folder": "C:\\new"}),
        )
        client.get(f"/job/available/{source}")
        client.put(f"/job/active/{source}/{id}", json={"half": "x" * 1998 + "\U0001f600" * 9, "turned": "\u202eabc"})
        page.goto(f"/#/job/{id}")
        # A cut leaves no half of a character, and a text turns nothing beside it.
        note = json_of(page, "Note")
        expect(note.get_by_role("button", name="show all 2,018 characters")).to_be_visible()
        assert note.evaluate("(element) => element.textContent.isWellFormed()")
        assert note.locator(".string").last.evaluate("(value) => getComputedStyle(value).unicodeBidi") == "isolate"
        tree = json_of(page, "Document")
        expect(tree.locator(".lines")).to_have_count(2)
        assert TRACEBACK in tree.locator(".lines").all_inner_texts()
        expect(tree.locator("b")).to_have_count(0)
        expect(tree).to_contain_text(r'"folder": "C:\\new"')
        tree.get_by_role("button", name="show all 9,002 characters").click()
        expect(tree).to_contain_text("x" * 9000)

    def test_as_text(self, page: Page, client: httpx.Client, source: str) -> None:
        id = submit(client, source, '{"big": 123456789012345678901234567890, "deep": {"a": [1, {}, []]}}')
        page.goto(f"/#/job/{id}")
        part = page.get_by_role("region", name="Document")
        part.get_by_role("button", name="As text").click()
        assert '"big": 123456789012345678901234567890' in part.locator("pre").inner_text()
        assert json.loads(part.locator("pre").inner_text())["deep"] == {"a": [1, {}, []]}
        part.get_by_role("button", name="As tree").click()
        expect(json_of(page, "Document")).to_be_visible()
        expect(part.get_by_role("button", name="As text")).to_be_focused()

    def test_a_large_document_as_text_scrolls_in_its_place(self, page: Page, client: httpx.Client, source: str) -> None:
        id = submit(client, source, large(1000))
        page.goto(f"/#/job/{id}")
        part = page.get_by_role("region", name="Document")
        part.get_by_role("button", name="As text").click()
        text = part.locator("pre")
        assert text.evaluate("(element) => element.scrollHeight > element.clientHeight")
        assert text.evaluate("(element) => element.clientHeight <= innerHeight")
        heading = part.get_by_role("heading", name="Document").evaluate(STARTS)
        assert text.evaluate(STARTS) == heading


class TestActs:
    def test_a_waiting_job_is_changed(self, page: Page, client: httpx.Client, source: str) -> None:
        id = submit(client, source, '{"big": 123456789012345678901234567890, "n": 1}', delay=3600)
        page.goto(f"/#/job/{id}")
        press(page, "Change")
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("button", name="Change it").click()
        expect(dialog.get_by_role("alert")).to_have_text("Nothing is different from before.")
        dialog.get_by_label("Priority").fill("7")
        dialog.get_by_label("Not before").fill("")
        text = dialog.get_by_label("Document").input_value()
        dialog.get_by_label("Document").fill(text.replace('"n": 1', '"n": 2'))
        dialog.get_by_role("button", name="Change it").click()
        expect(dialog).to_have_count(0)
        shown = record(client, id)
        assert (shown["priority"], shown["due"], shown["job"]["n"]) == (7, None, 2)
        assert "123456789012345678901234567890" in client.get(f"/jobs/{id}").text
        expect(json_of(page, "Document")).to_contain_text('"n": 2')

    def test_a_change_of_a_job_that_was_taken_meanwhile_is_refused(
        self, page: Page, client: httpx.Client, source: str
    ) -> None:
        id = submit(client, source)
        page.goto(f"/#/job/{id}")
        press(page, "Change")
        client.get(f"/job/available/{source}")
        page.get_by_label("Priority").fill("7")
        page.get_by_role("button", name="Change it").click()
        expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("active")

    def test_redo_and_delete(self, page: Page, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        client.post(f"/job/done/{source}/{id}")
        page.goto(f"/#/job/{id}")
        press(page, "Redo")
        page.get_by_role("button", name="Redo it").click()
        expect(page.get_by_text("Why nobody has it yet")).to_be_visible()
        client.post(f"/job/done/{source}/{id}")
        press(page, "Delete")
        page.get_by_role("button", name="Delete it").click()
        expect(page.get_by_role("heading", name=f"There is no job {id}")).to_be_visible()

    def test_submitting_again_with_changes(self, page: Page, client: httpx.Client, source: str) -> None:
        id = submit(client, source, '{"n": 1}', priority=4)
        client.post(f"/job/done/{source}/{id}")
        page.goto(f"/#/job/{id}")
        press(page, "Submit again")
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Document").fill('{"n": 2}')
        dialog.get_by_role("button", name="Submit it again").click()
        expect(json_of(page, "Document")).to_have_text('{"n": 2}')
        new = client.get(f"/jobs?source={source}&state=available").json()["jobs"]
        assert [(job["job"], job["priority"]) for job in new] == [({"n": 2}, 4)]


def test_a_long_name_is_cut_in_the_middle(page: Page, client: httpx.Client, source: str) -> None:
    name = f"{source}-{'a-long-name-' * 9}"[:90] + "-the-end"
    submit(client, name)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/#/sources")
    link = page.get_by_role("link", name=name)
    expect(link).to_have_attribute("title", name)
    expect(link).to_have_text(name)
    [begin, end] = link.locator("span").all()
    assert begin.evaluate(IS_CUT)
    page.evaluate("addEventListener('copy', (event) => { window.copied = event.clipboardData.getData('text/plain') })")
    link.evaluate("(element) => getSelection().selectAllChildren(element)")
    page.keyboard.press("Control+C")
    assert page.evaluate("window.copied") == name
    assert end.evaluate("(element) => element.scrollWidth <= element.clientWidth")
    expect(end).to_have_text(name[-10:])
    page.set_viewport_size({"width": 1440, "height": 900})
    shorter = f"{source}-{'a-long-name-' * 3}end"
    submit(client, shorter)
    for address in ("sources", ""):  # there is room for this one
        page.goto(f"/#/{address}")
        link = page.get_by_role("table", name="Sources").get_by_role("link", name=shorter)
        assert not link.locator("span").first.evaluate(IS_CUT)
