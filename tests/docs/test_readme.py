"""What the README shows is what happens."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.helpers.servers import boss_running

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_life_of_a_job_is_as_shown(database: str) -> None:
    block = re.findall(r"```console\n(.*?)```", README, re.DOTALL)[0]
    steps = re.findall(r"^\$ (curl .*)\n((?:[^$].*\n)*)", block, re.MULTILINE)
    assert len(steps) == 5
    with boss_running("--database", database) as boss:
        for command, shown in steps:
            line = command.replace("curl", "curl -sS", 1).replace("http://127.0.0.1:8080", boss.url)
            done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
            assert done.stdout.rstrip("\n") == shown.rstrip("\n"), command


def test_the_converter_in_python_works(database: str) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    with boss_running("--database", database) as boss, boss.client() as client:
        client.post("/job/available/freg", content="{}")
        code = code.replace("slots=4", "slots=4, until_empty=True")
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code], check=True, env={**os.environ, "BOSS_URL": boss.url}
        )
        [job] = client.get("/jobs").json()["jobs"]
    assert (job["state"], job["result"]) == ("done", {"steps": 3})


@pytest.mark.long
def test_the_example_converts_every_record_once(database: str) -> None:
    with boss_running("--database", database) as boss:
        command = [sys.executable, str(ROOT / "examples" / "iso_codes.py"), boss.url]
        first = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        again = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    jobs = int(re.findall(r'"done": (\d+)', first)[0])
    assert jobs > 10_000
    assert f"{jobs:,} submitted now, {jobs:,} converted, 0 twice" in " ".join(first.split())
    assert "0 submitted now, 0 converted" in " ".join(again.split())


def test_the_example_takes_nobody_elses_jobs(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        id = client.post("/job/available/freg", json={}).json()["id"]
        command = [sys.executable, str(ROOT / "examples" / "iso_codes.py"), boss.url]
        refused = subprocess.run(command, capture_output=True, text=True)
        assert (refused.returncode, "Traceback" in refused.stderr) == (1, False)
        assert "jobs of somebody else's, of freg" in refused.stderr
        assert client.get(f"/jobs/{id}").json()["attempt"] == 0


def test_every_flag_is_in_the_readme() -> None:
    command = [sys.executable, "-m", "boss", "serve", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for flag in set(re.findall(r"--[a-z-]+", shown)) - {"--help"}:
        assert f"{flag}`" in README or f"{flag} " in README, flag


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    extras = project["optional-dependencies"]
    for dependency in (*project["dependencies"], *extras["server"], *extras["embedded"], *extras["tracing"]):
        assert re.search(rf"^\|.*\b{re.split('[<>=]', dependency)[0]}\b.* \|", reasons, re.MULTILINE), dependency
