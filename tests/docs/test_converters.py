"""The converters in docs/converters.md do their work on a real Boss, and stop when their job is stopped."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.test_contract import submit
from tests.acceptance.test_lease import record
from tests.servers import boss_running, until

PAGE = (Path(__file__).parents[2] / "docs" / "converters.md").read_text()
# By the language of its block: the file it goes into, and what runs it.
PROGRAMS = {
    "sh": ("converter.sh", "sh"),
    "java": ("Converter.java", "java"),
    "js": ("converter.mjs", "node"),
    "r": ("converter.R", "Rscript"),
    "go": ("converter.go", "go"),
}


@pytest.fixture(params=PROGRAMS)
def command(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    file, program = PROGRAMS[request.param]
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed here")
    [code] = re.findall(rf"```{request.param}\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / file).write_text(code)
    if program == "go":  # `go run` would leave the program running when it is killed
        subprocess.run(["go", "build", file], cwd=tmp_path, check=True)
        return [str(tmp_path / "converter")]
    return [program, str(tmp_path / file)]


@pytest.fixture
def client(database: str) -> Iterator[httpx.Client]:
    with boss_running("--database", database, "--lease", "3") as boss, boss.client() as client:
        yield client


def test_it_does_its_jobs_and_stops_when_told_to(command: list[str], client: httpx.Client) -> None:
    environment = {"BOSS_URL": str(client.base_url).rstrip("/"), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    program = shutil.which(command[0])
    assert program
    running = subprocess.Popen([program, *command[1:], "freg"], env=environment)

    def while_it_runs(holds: Callable[[], bool]) -> None:
        def checked() -> bool:
            assert running.poll() is None, "the converter has ended"
            return holds()

        until(checked)

    try:
        ids = [submit(client, "freg", '{"seconds": 0}') for _ in range(5)]
        while_it_runs(lambda: client.get("/job").json()["done"].get("freg") == 5)
        for id in ids:
            shown = record(client, id)
            assert (shown["outcome"], shown["result"], shown["attempt"]) == ("completed", {"seconds": 0}, 1)

        long = submit(client, "freg", '{"seconds": 600}')
        while_it_runs(lambda: record(client, long)["state"] == "active")
        # It is held for longer than its lease of three seconds, so it is checked.
        taken = record(client, long)["until"]
        while_it_runs(lambda: record(client, long)["seen"] > taken)
        assert (record(client, long)["state"], record(client, long)["attempt"]) == ("active", 1)

        assert client.post(f"/job/done/freg/{long}?outcome=stopped").status_code == 200
        after = submit(client, "freg", '{"seconds": 0}')
        while_it_runs(lambda: record(client, after)["state"] == "done")
        assert (record(client, long)["outcome"], record(client, long)["result"]) == ("stopped", None)

        broken = submit(client, "freg", '{"seconds": -1}')
        while_it_runs(lambda: record(client, broken)["due"] is not None)
        assert record(client, broken)["state"] == "available"
    finally:
        running.kill()
        running.wait()


def test_the_python_ones_do_what_they_say(client: httpx.Client) -> None:
    converter, script = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
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


@pytest.mark.parametrize("language", PROGRAMS)
def test_it_is_at_most_40_lines(language: str) -> None:
    [code] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    lines = code.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 120
