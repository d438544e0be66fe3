"""Hints of commands to newcomers: one line each, about what was probably meant."""

import re
import signal

import httpx
import pytest

from tests.helpers.commands import Boss, Terminal
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def boss(module_boss: BossProcess) -> Boss:
    return Boss(module_boss.url)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["token", "create", "a"], 2, "boss: missing option '--role'. Choose from: "),
        (["jobs", "freg"], 2, "the jobs of a source are listed with --source SOURCE"),
        (["tree", "freg"], 2, "boss jobs --source SOURCE"),
        (["show", "freg", "monday"], 2, "a job is shown by its id alone, without its source"),
        (["done", "freg", "monday", "-"], 2, "boss: standard input is empty; a result is a JSON object"),
        (["give-back", "freg", "monday", "-"], 2, "boss: standard input is empty; a result is a JSON object"),
        (["stop", "freg", "nothing"], 3, "boss: no job has the id nothing\n"),
    ],
)
def test_one_line_says_what_is_meant(boss: Boss, words: list[str], code: int, says: str) -> None:
    said = boss(*words)
    assert (said.returncode, said.stderr.count("\n")) == (code, 1)
    assert says in said.stderr


@pytest.mark.parametrize("words", [["check", "--version"], ["token", "create", "--version"], ["version"], ["-V"]])
def test_the_version_is_said_everywhere(boss: Boss, words: list[str]) -> None:
    said = boss(*words)
    assert (said.returncode, said.stderr) == (0, "")
    assert re.fullmatch(r"boss \d+\.\S+\n", said.stdout)


def test_help_is_a_command_as_well(boss: Boss) -> None:
    assert boss("help").stdout == boss("--help").stdout
    assert boss("help", "token", "create").stdout == boss("token", "create", "-h").stdout


def test_the_help_of_commands(boss: Boss) -> None:
    assert "--outcome completed|failed|stopped" in boss("done", "-h").stdout
    said = " ".join(boss("tree", "-h").stdout.split())
    assert "until Ctrl-C, which ends it with exit code 0." in said
    assert "Each response may take 30 s." in said


class TestQuestions:
    def test_nobody_answers(self, boss: Boss, client: httpx.Client, source: str) -> None:
        client.post(f"/job/done/{source}/{submit(client, source)}")
        submit(client, source)
        for words in (["stop", "--source", source], ["prune", "--older-than", "0"]):
            said = boss(*words)
            assert (said.returncode, said.stderr.count("\n"), "--yes" in said.stderr) == (1, 1, True)
        assert f"Stop 1 job of {source}?" in boss("stop", "--source", source).stdout

    def test_ctrl_c_is_no_answer(self, boss: Boss, client: httpx.Client, source: str) -> None:
        submit(client, source)
        asked = Terminal(boss, "stop", "--source", source)
        asked.until("[y/N]")
        assert asked.end() == 128 + signal.SIGINT
        refused = boss("stop", "--source", source, stdin="n\n")
        assert (refused.returncode, refused.stderr) == (1, "boss: nothing was done\n")


def test_a_job_that_is_done_cannot_be_stopped(boss: Boss, client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    client.post(f"/job/done/{source}/{id}")
    said = boss("stop", source, id)
    assert said.returncode == 3
    assert said.stderr.startswith(f"boss: {id} is done: completed ")


def test_an_id_keeps_its_capital_letter(boss: Boss, client: httpx.Client, source: str) -> None:
    id = submit(client, f"{source}/Monday-{source}")
    assert boss("check", source, id).stderr == f"boss: {id} is available: nobody has it\n"


def test_a_source_that_was_never_here(boss: Boss, client: httpx.Client, source: str) -> None:
    submit(client, source)
    said = boss("source", f"{source}x", "--paused")
    assert f"did you mean {source}? (its rule applies from its first job on)" in said.stderr
    boss("source", f"{source}x", "--free")


def test_what_happened_last_is_listed(boss: Boss, client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    client.get(f"/job/available/{source}")
    client.delete(f"/job/active/{source}/{id}?delay=0")
    assert re.search(rf"{id}  1/\d+ +given back (just now|\d+ s ago)", boss("jobs", "--source", source).stdout)
