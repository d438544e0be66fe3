"""Messages of boss work: about its command line, its sources, and why a job was not done."""

import re
from pathlib import Path

import httpx
import pytest

from tests.helpers.commands import Boss
from tests.helpers.requests import submit
from tests.helpers.servers import PATIENCE, BossProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def boss(module_boss: BossProcess) -> Boss:
    return Boss(module_boss.url)


def test_its_help(boss: Boss) -> None:
    said = boss("work", "-h").stdout
    assert said.startswith("Usage: boss work [OPTIONS] [SOURCE]... -- COMMAND [ARGUMENT]...\n")
    assert "with exit code 1 if one was not done" in " ".join(said.split())


def test_a_source_that_was_never_here(boss: Boss, client: httpx.Client, source: str) -> None:
    submit(client, source)
    said = boss("work", f"{source}y", "--until-empty", "--", "cat")
    assert said.returncode == 0
    assert f"boss: no job of {source}y was ever submitted; did you mean {source}?\n" in said.stderr
    assert "ever submitted" not in boss("work", source, "--until-empty", "--", "cat").stderr


def test_a_command_that_is_not_executable(boss: Boss, tmp_path: Path) -> None:
    file = tmp_path / "c.sh"
    file.write_text("#!/bin/sh\n")
    said = boss("work", "freg", "--", str(file))
    assert (said.returncode, said.stderr) == (2, f"boss: {file} is not executable: chmod +x {file}\n")
    said = boss("work", "freg", "--", str(tmp_path))
    assert (said.returncode, said.stderr) == (2, f"boss: {tmp_path} is a folder, not a program\n")


def test_why_a_job_was_given_back(boss: Boss, client: httpx.Client, source: str) -> None:
    submit(client, source)
    command = "printf '%0300d\\n\\033[1mno such column: я\\n' 0 >&2; exit 7"
    said = boss("work", source, "--once", "--", "sh", "-c", command)
    assert said.returncode == 1
    [line] = [line for line in said.stderr.splitlines() if "given back after" in line]
    assert re.search(r" s: exit code 7: …0+ \ufffd\[1mno such column: я$", line)
    assert len(line) < 400


def test_the_last_attempt_is_not_given_back(boss: Boss, client: httpx.Client, source: str) -> None:
    id = submit(client, source, attempts=1)
    said = boss("work", source, "--until-empty", "--", "sh", "-c", "echo no such column >&2; exit 7")
    assert f"{source}/{id}, attempt 1: failed in its last attempt after " in said.stderr
    assert said.stderr.splitlines()[-1].endswith(" 1 failed in its last attempt")
    assert client.get(f"/jobs/{id}").json()["state"] == "done"


def test_give_back_says_that_the_last_attempt_is_over(boss: Boss, client: httpx.Client, source: str) -> None:
    for attempts, says in ((2, ""), (1, "boss: that was the last attempt of {id}: it is done, failed\n")):
        # A source each: what was given back is soon available again.
        of = f"{source}-{attempts}"
        id = submit(client, of, attempts=attempts)
        assert boss("take", of).returncode == 0
        said = boss("give-back", of, id)
        assert (said.returncode, said.stderr) == (0, says.format(id=id))


@pytest.mark.parametrize("misspelt", ["", "y"])
def test_what_it_waits_for(boss: Boss, client: httpx.Client, source: str, misspelt: str) -> None:
    client.post(f"/job/done/{source}/{submit(client, source)}").raise_for_status()
    with boss.start("work", f"{source}{misspelt}", "--", "cat") as working:
        try:
            assert working.stderr
            assert working.stderr.readline().endswith(f" waiting for jobs of {source}{misspelt}\n")
            if misspelt:
                says = f" no job of {source}y was ever submitted; did you mean {source}?\n"
                assert working.stderr.readline().endswith(says)
        finally:
            working.terminate()
        _, rest = working.communicate(timeout=PATIENCE)
        assert "ever submitted" not in rest
