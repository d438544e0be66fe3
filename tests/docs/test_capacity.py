"""docs/capacity.md divides sources over two databases, as it says."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.helpers.databases import new_database
from tests.helpers.proxies import served
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, boss_running, free_port

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "capacity.md").read_text()


class Groups(NamedTuple):
    """A client of each group, and one of the proxy before both."""

    first: httpx.Client
    second: httpx.Client
    through: httpx.Client


@pytest.fixture(scope="module")
def pair(postgres: str) -> Iterator[tuple[BossProcess, BossProcess]]:
    for one in new_database(postgres):
        for other in new_database(postgres):
            with boss_running("--database", one) as first, boss_running("--database", other) as second:
                yield first, second


@pytest.fixture(scope="module")
def groups(pair: tuple[BossProcess, BossProcess], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Groups]:
    if not shutil.which("haproxy"):
        pytest.skip("haproxy is not installed here")
    port, (first, second) = free_port(), pair
    [shown] = re.findall(r"```haproxy\n(.*?)```", PAGE, re.DOTALL)
    for old, new in (
        ("bind :8000", f"bind 127.0.0.1:{port}"),
        ("10.0.0.1:8080", f"127.0.0.1:{first.port}"),
        ("10.0.0.2:8080", f"127.0.0.1:{second.port}"),
    ):
        assert old in shown
        shown = shown.replace(old, new)
    folder = tmp_path_factory.mktemp("haproxy")
    file = folder / "haproxy.cfg"
    file.write_text(shown)

    def client() -> httpx.Client:
        return httpx.Client(base_url=f"http://127.0.0.1:{port}")

    running = served(["haproxy", "-db", "-f", str(file)], folder / "log", client)
    with running, first.client() as one, second.client() as two, client() as through:
        yield Groups(one, two, through)


def counted(client: httpx.Client, source: str) -> int:
    """How many jobs of a source this group has, in whatever state."""
    return len(client.get("/jobs", params={"source": source}).json()["jobs"])


@pytest.mark.parametrize("source", ["sirius", "vega", "freg", "sirius-b", "subvega"])
def test_a_source_is_in_one_group_from_submit_to_done(groups: Groups, source: str) -> None:
    own, other = (groups.second, groups.first) if source in ("sirius", "vega") else (groups.first, groups.second)
    id = submit(groups.through, f"{source}/{source}-1")
    assert (counted(own, source), counted(other, source)) == (1, 0)
    assert counted(groups.through, source) == 1
    assert groups.through.get(f"/job/available/{source}/{id}").status_code == 200
    assert groups.through.get(f"/job/available/{source}").json()["id"] == id
    assert groups.through.head(f"/job/active/{source}/{id}").status_code == 200
    assert groups.through.post(f"/job/done/{source}/{id}").status_code == 200
    assert groups.through.get(f"/jobs/{id}").json()["state"] == "done"
    assert own.get(f"/jobs/{id}").json()["state"] == "done"
    assert groups.through.put(f"/source/{source}", json={"paused": True}).status_code == 200
    assert own.get("/source").json() != other.get("/source").json()
    assert groups.through.put(f"/source/{source}", json={}).status_code == 200


def test_a_take_of_several_sources_of_a_group(groups: Groups) -> None:
    submit(groups.through, "vega/vega-2")
    assert groups.through.get("/job/available/sirius,vega").json()["id"] == "vega-2"


def test_what_it_loses(groups: Groups) -> None:
    """As the page says: without a source in its address, a request goes to the first group."""
    submit(groups.through, "vega/vega-3")
    assert groups.through.get("/job/available").status_code == 404
    assert groups.through.get("/job/available/freg,vega").status_code == 404
    assert groups.second.get("/job/available").json()["id"] == "vega-3"
