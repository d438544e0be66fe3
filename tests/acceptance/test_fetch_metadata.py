"""The headers with which browsers say where a request comes from and what it is for, one by one.

tests/acceptance/test_navigations.py and test_cross_site.py have a browser send them.
"""

from collections.abc import Iterator

import httpx
import pytest

from tests.helpers.databases import new_database
from tests.helpers.requests import assert_problem
from tests.helpers.servers import BossProcess, boss_running
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def neighbour(module_boss: BossProcess) -> Iterator[httpx.Client]:
    """A client of a Boss without tokens."""
    with module_boss.client() as client:
        client.post("/job/available/freg/victim", content="{}")
        yield client


@pytest.fixture(scope="module")
def signed_in(postgres: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A Boss with tokens, and the cookie of its admin."""
    for url in new_database(postgres):
        with boss_running("--database", url) as boss, boss.client() as client:
            yield boss.url, {"cookie": f"boss_token={create(client, 'root', 'admin')}"}


@pytest.mark.parametrize("site", [None, "none", "same-origin", "same-site", "cross-site"])
@pytest.mark.parametrize(
    "more",
    [
        {"sec-fetch-mode": "navigate"},
        {"sec-fetch-mode": "websocket"},
        *({"sec-fetch-mode": "no-cors", "sec-fetch-dest": dest} for dest in ("document", "iframe", "embed")),
        {"sec-fetch-dest": "object"},
        {"sec-fetch-dest": "frame"},
    ],
)
def test_a_navigation_is_refused(neighbour: httpx.Client, site: str | None, more: dict[str, str]) -> None:
    headers = {**more, **({"sec-fetch-site": site} if site else {})}
    for method, path in (("GET", "/job/available"), ("POST", "/job/active"), ("GET", "/jobs"), ("GET", "/docs/x")):
        assert_problem(
            neighbour.request(method, path, headers=headers), 403, "web page that is not Boss's own|may open"
        )


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-purpose": "prefetch"},
        {"sec-purpose": "prefetch;prerender"},
        {"purpose": "prefetch"},
        {"x-moz": "prefetch"},
        {"x-purpose": "preview"},
    ],
)
@pytest.mark.parametrize("path", ["/job/available", "/jobs", "/", "/docs"])
def test_nothing_is_fetched_in_advance(neighbour: httpx.Client, headers: dict[str, str], path: str) -> None:
    assert_problem(neighbour.get(path, headers=headers), 403, "in advance")


def test_other_purposes_are_none(neighbour: httpx.Client) -> None:
    assert neighbour.get("/jobs", headers={"purpose": "to see", "x-purpose": ""}).status_code == 200


def test_from_no_page_nothing_but_the_page(neighbour: httpx.Client) -> None:
    for mode in ("no-cors", "cors", "same-origin"):
        headers = {"sec-fetch-site": "none", "sec-fetch-mode": mode}
        assert_problem(neighbour.get("/job/available", headers=headers), 403, "not Boss's own")


def test_a_client_that_only_says_a_mode_is_a_client(neighbour: httpx.Client) -> None:
    """As the fetch of Node.js does."""
    assert neighbour.get("/jobs", headers={"sec-fetch-mode": "cors"}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "counts"),
    [
        ("GET", "/jobs", {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, True),
        ("GET", "/jobs", {"sec-fetch-site": "same-origin", "sec-fetch-mode": "same-origin"}, True),
        ("POST", "/job/active", {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, True),
        ("GET", "/jobs", {"sec-fetch-site": "same-origin", "sec-fetch-mode": "no-cors"}, False),
        ("GET", "/jobs", {"sec-fetch-site": "same-origin"}, False),
        ("GET", "/jobs", {"sec-fetch-mode": "cors"}, False),
        # From a browser that does not say where its requests come from: what cannot be a mere link is the dashboard's.
        ("POST", "/job/active", {"origin": "own"}, True),
        ("POST", "/job/active", {}, False),
        ("GET", "/jobs", {}, True),
        ("GET", "/job/available", {}, False),
        ("GET", "/job/available", {"origin": "own"}, True),
        ("HEAD", "/job/active/freg/x", {}, False),
    ],
)
def test_it_counts(
    signed_in: tuple[str, dict[str, str]], method: str, path: str, headers: dict[str, str], counts: bool
) -> None:
    url, cookie = signed_in
    told = {name: url if value == "own" else value for name, value in headers.items()}
    status = httpx.request(method, url + path, headers={**told, **cookie}).status_code
    assert (status == 401) is not counts
    assert status in (200, 401, 404)
