"""Another machine without TLS: there a browser does not say where its requests come from. By its name, Boss is one."""

import httpx
import pytest
from playwright.sync_api import sync_playwright

from tests.helpers.browser import LAUNCH
from tests.helpers.page import press, row
from tests.helpers.redirects import redirecting_to
from tests.helpers.requests import submit
from tests.helpers.servers import boss_running
from tests.helpers.sites import needs_chromium, serving
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow


@needs_chromium
def test_the_page_works_and_a_link_takes_nothing(database: str) -> None:
    rules = "--host-resolver-rules=MAP boss.example 127.0.0.1, MAP evil.example 127.0.0.1"
    with (
        sync_playwright() as playwright,
        boss_running("--database", database) as boss,
        boss.client() as client,
        serving(redirecting_to(f"http://boss.example:{boss.port}")) as port,
    ):
        token = create(client, "root", "admin")
        client.headers["authorization"] = f"Bearer {token}"
        id = submit(client, "freg")
        browser = playwright.chromium.launch(executable_path=LAUNCH["executable_path"], args=[*LAUNCH["args"], rules])
        page = browser.new_context(base_url=f"http://boss.example:{boss.port}").new_page()
        told: list[bool] = []
        page.on("request", lambda request: told.append("sec-fetch-site" in request.all_headers()))
        page.goto("/")
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        row(page, "freg").wait_for()
        for way in ("job/available", "job/available/freg?wait=1", "location", "refresh", "link"):
            other = page.context.new_page()
            address = f"to/{way}" if way.startswith("job") else way
            other.goto(f"http://evil.example:{port}/{address}", wait_until="load")
            other.wait_for_timeout(300)
            other.close()
            assert client.get("/jobs?state=active").json()["jobs"] == [], way
        page.goto(f"/#/job/{id}")
        press(page, "Stop")
        page.get_by_role("button", name="Stop it").click()
        page.get_by_text("stopped", exact=True).wait_for()
        assert client.get(f"/jobs/{id}").json()["finished_by"] == "root"
        assert httpx.get(f"{boss.url}/job").status_code == 401
        browser.close()
    assert not any(told)
