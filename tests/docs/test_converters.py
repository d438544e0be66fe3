"""The converters in docs/converters.md do their work on a real Boss, and stop when their job is stopped."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.helpers.jobs import record
from tests.helpers.programs import PAGE, PROGRAMS, code_of, command, converting
from tests.helpers.requests import submit
from tests.helpers.servers import boss_running
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow

__all__ = ["command"]  # a fixture


@pytest.fixture
def client(database: str) -> Iterator[httpx.Client]:
    with boss_running("--database", database, "--lease", "3") as boss, boss.client() as client:
        yield client


@pytest.mark.long
def test_it_does_its_jobs_and_stops_when_told_to(command: list[str], client: httpx.Client) -> None:
    with converting(command, str(client.base_url), "freg") as running:
        ids = [submit(client, "freg", '{"seconds": 0}') for _ in range(5)]
        running.until(lambda: client.get("/job").json()["done"].get("freg") == 5)
        for id in ids:
            shown = record(client, id)
            assert (shown["outcome"], shown["result"], shown["attempt"]) == ("completed", {"seconds": 0}, 1)

        long = submit(client, "freg", '{"seconds": 600}')
        running.until(lambda: record(client, long)["state"] == "active")
        # It is held for longer than its lease of three seconds, so it is checked.
        taken = record(client, long)["until"]
        running.until(lambda: record(client, long)["seen"] > taken)
        assert (record(client, long)["state"], record(client, long)["attempt"]) == ("active", 1)

        assert client.post(f"/job/done/freg/{long}?outcome=stopped").status_code == 200
        after = submit(client, "freg", '{"seconds": 0}')
        running.until(lambda: record(client, after)["state"] == "done")
        assert (record(client, long)["outcome"], record(client, long)["result"]) == ("stopped", None)

        broken = submit(client, "freg", '{"seconds": -1}')
        running.until(lambda: record(client, broken)["due"] is not None)
        assert record(client, broken)["state"] == "available"
        assert list(record(client, broken)["result"]) == ["error"]

        hopeless = submit(client, "freg", "{}")
        running.until(lambda: record(client, hopeless)["state"] == "done")
        shown = record(client, hopeless)
        assert (shown["outcome"], list(shown["result"]), shown["attempt"]) == ("failed", ["error"], 1)


def test_it_shows_its_token(command: list[str], database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as nobody:
        root = create(nobody, "root", "admin")
        with httpx.Client(base_url=boss.url, headers={"authorization": f"Bearer {root}"}) as client:
            token = create(client, "converter", "converter", sources=["freg"])
            id = submit(client, "freg", '{"seconds": 0}')
            with converting(command, boss.url, "freg", BOSS_TOKEN=token) as running:
                running.until(lambda: record(client, id)["state"] == "done")
            assert (record(client, id)["outcome"], record(client, id)["taken_by"]) == ("completed", "converter")


def test_the_python_ones_do_what_they_say(client: httpx.Client) -> None:
    converter, script, resuming = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    environment = {**os.environ, "BOSS_URL": str(client.base_url).rstrip("/")}

    def run(code: str) -> str:
        return subprocess.run(
            [sys.executable, "-W", "error", "-c", code], check=True, env=environment, capture_output=True, text=True
        ).stdout

    assert run(script).split("\n")[:4] == [
        "monday is there already",
        *["1000 sent, 1000 of them new"] * 2,
        "499 sent, 499 of them new",
    ]
    assert record(client, "monday")["result"] == {"rows": 2}
    submit(client, "freg/bad", '{"rows": [1, -2]}')
    run(converter)
    assert client.get("/job").json() == {"available": {"freg": 0}, "active": {"freg": 0}, "done": {"freg": 2501}}
    assert record(client, "row-000007")["result"] == {"rows": 1}
    assert (record(client, "bad")["outcome"], record(client, "bad")["result"]) == ("failed", {"row": -2})
    submit(client, "archive/box", '{"files": 5}')
    client.post("/job/active/archive/box")
    client.put("/job/active/archive/box", content='{"next": 3}')
    client.delete("/job/active/archive/box?delay=0")
    run(resuming)
    assert (record(client, "box")["result"], record(client, "box")["note"]) == ({"began_at": 3}, {"next": 5})


@pytest.mark.parametrize("language", PROGRAMS)
def test_it_is_short(language: str) -> None:
    lines = code_of(language).splitlines()
    assert len(lines) <= 80
    assert max(map(len, lines)) <= 120
