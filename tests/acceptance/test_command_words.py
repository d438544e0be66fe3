"""What a newcomer types: help, versions, and words that are almost right."""

import subprocess

import httpx
import pytest

from boss import BossError, Client, __version__
from tests.helpers.commands import PROGRAM, Boss
from tests.helpers.requests import submit
from tests.helpers.servers import PATIENCE, BossProcess, until

pytestmark = pytest.mark.slow

COMMANDS = (
    *("submit", "take", "check", "done", "give-back", "stop", "work", "show", "jobs", "tree", "prune", "doctor"),
    *("source", "audit", "token create", "token list", "token revoke", "serve", "migrate"),
)


@pytest.fixture
def boss(module_boss: BossProcess) -> Boss:
    return Boss(module_boss.url)


def test_the_usage_of_many_lines(boss: Boss) -> None:
    assert "| {source} [file] --lines\n" in boss("submit", "-h").stdout


def test_times_with_an_offset_and_with_z(boss: Boss, client: httpx.Client, source: str) -> None:
    for at in ("2999-11-24T18:30:00+01:00", "2999-11-24T17:30:00Z"):
        id = boss("submit", source, "--at", at, stdin="{}").stdout.strip()
        assert client.get(f"/jobs/{id}").json()["due"].startswith("2999-11-24T17:30:00")
    said = boss("take", source)
    assert said.returncode == 3
    assert f"no job of {source} is ready; 2 jobs of it are delayed, the first until 2999-11-24T17:30:00Z" in said.stderr


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version(boss: Boss, option: str) -> None:
    assert boss(option).stdout == f"boss {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_fits_and_has_an_example(boss: Boss, command: str) -> None:
    boss.environment["COLUMNS"] = "80"
    short, long = boss(*command.split(), "-h"), boss(*command.split(), "--help")
    assert short.stdout == long.stdout
    assert "Example: " in short.stdout
    assert f"boss {command}" in short.stdout.partition("Example: ")[2]
    assert max(map(len, short.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sumbit", "freg"], "no such command 'sumbit'. Did you mean 'submit'? (boss --help says more)"),
        (["stauts"], "no such command 'stauts' (boss --help says more)"),
        (["status"], "no such command 'status'; did you mean boss tree? (boss --help says more)"),
        (["list"], "no such command 'list'; did you mean boss jobs?"),
        (["find", "monday"], "no such command 'find'; did you mean boss show?"),
        (["token", "crate", "x"], "no such command 'crate'. Did you mean 'create'? (boss token --help says more)"),
        (["submit", "freg", "--prioritty", "3"], "no such option: --prioritty (did you mean --priority)"),
        (["jobs", "--stat", "done"], "no such option: --stat (did you mean --state)"),
        (["work", "freg", "--slotz", "3", "--", "cat"], "no such option: --slotz (did you mean --slots)"),
        (["submit", "freg", "--priority"], "option '--priority' requires an argument"),
        (["submit", "freg", "--priority", "high"], "'--priority': 'high' is not a whole number (boss submit --help"),
        (["serve", "--max-document", "64MiB"], "'64MiB' is not a whole number of bytes; say 67108864 (boss serve"),
        (["serve", "--max-document", "1 kB"], "'1 kB' is not a whole number of bytes; say 1000 (boss serve"),
        (["serve", "--lease", "1m"], "'1m' is not a whole number of seconds; say 60 (boss serve"),
        (["jobs", "--limit", "0"], "'--limit': 0 is less than 1; it takes a whole number from 1 (boss jobs --h"),
        (["take", "--wait", "long"], "'--wait': 'long' is not a number of seconds (boss take --help"),
        (["submit", "freg", "--at", "noon"], "'--at': 'noon' is not a time with its offset from UTC; it should look"),
        (["submit", "freg", "--at", "2026-11-24T18:30:00"], "should look like 2026-11-24T18:30:00+01:00 or 2026-11-24"),
        (["jobs", "--state", "actve"], "'actve' is not one of available, active, done (did you mean active?)"),
        (
            ["token", "create", "x", "--role", "amdin"],
            "'amdin' is not one of converter, submitter, admin (did you mean admin?)",
        ),
        (["check", "freg"], "missing argument 'id' (boss check --help says more)"),
        (["check", "freg", "monday", "1"], "got unexpected extra argument(s) (1) (boss check --help says more)"),
        (["work"], "say what to run for each job, after --: boss work freg -- ./convert.sh"),
        (["work", "--"], "say what to run for each job, after --"),
        (["work", "freg", "cat"], "say what to run for each job, after --"),
        (["source", "freg", "--limit", "0"], "'--limit': 0 is less than 1; it takes a whole number from 1; --paused"),
        (["source", "freg", "--limit", "-1"], "'--limit': -1 is less than 1; it takes a whole number from 1 (boss sou"),
        (["source", "freg", "--limit", "9000000"], "the limit is 9000000; it takes a whole number from 1 to 1000000"),
        (["source", "freg", "--rate", "0"], "0 is less than 0.001; it takes a number from 0.001 to 1000000; --pau"),
        (["source", "freg", "--rate", "-1"], "-1 is less than 0.001; it takes a number from 0.001 to 1000000 (boss s"),
        (["source", "freg", "--rate", "nan"], "'--rate': 'nan' is not a number"),
        (["source", "freg", "--attempts", "0"], "0 is less than 1; it takes a whole number from 1 to 1000000 (boss s"),
        (["source", "freg", "--lease", "-1"], "-1 is less than 0; it takes a whole number of seconds from 0 (boss sou"),
        (["source", "freg", "--timeout", "0"], "a whole number of seconds from 1; --without timeout removes it (boss"),
        (["source", "freg", "--keep-done", "-1"], "-1 is less than 0; it takes a number of days from 0 (boss source"),
        (["source", "freg", "--delays", "-1"], "one of the delays is -1; each takes seconds from 0 to 31622400"),
        (["source", "freg", "--delays", "nan"], "the delays are 'nan'; they take numbers of seconds, as 10,60,3600"),
        (["source", "freg", "--delays", ""], "the delays are ''; they take numbers of seconds, as 10,60,3600"),
        (["serve", "--port", "80000"], "80000 is more than 65535; it takes a whole number from"),
        (["prune", "--older-than", "1e99"], "'--older-than': 1e99 is more than 3660"),
        (["prune", "--older-than", "30d"], "'30d' is not a number of days; say 30 (boss prune"),
        (["submit", "freg", "--delay", "5m"], "'5m' is not a number of seconds; say 300 (boss submit"),
        (["prune", "--older-than", "nan"], "'--older-than': 'nan' is not a number of days"),
    ],
)
def test_one_line_of_what_is_wrong(boss: Boss, words: list[str], says: str) -> None:
    said = boss(*words)
    assert said.stderr.startswith("boss: ")
    assert says in said.stderr
    assert (said.returncode, said.stderr.count("\n"), said.stdout) == (2, 1, "")


@pytest.mark.parametrize(
    "words",
    [
        ["submit", "", "monday"],
        ["submit", "freg", ""],
        ["take", ""],
        ["check", "", "monday"],
        ["check", "freg", ""],
        ["done", "freg", ""],
        ["stop", "freg", ""],
        ["show", ""],
        ["source", "", "--paused"],
        ["work", "", "--", "cat"],
    ],
)
def test_a_variable_that_is_not_set_is_no_word(boss: Boss, client: httpx.Client, words: list[str]) -> None:
    before = client.get("/job").json()
    said = boss(*words, stdin="{}")
    assert "it is empty; is a variable not set?" in said.stderr
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)
    assert client.get("/job").json() == before


def test_the_library_takes_no_empty_name_for_any(boss: Boss, client: httpx.Client) -> None:
    before = client.get("/job").json()
    with Client(boss.environment["BOSS_URL"]) as library:
        for ask in (
            lambda: library.submit("", {}),
            lambda: library.take_now("", wait=0),
            lambda: library.done("", "monday"),
        ):
            with pytest.raises(BossError):
                ask()
    assert client.get("/job").json() == before


def test_the_environment_is_named_when_it_is_wrong(boss: Boss) -> None:
    boss.environment["BOSS_PORT"] = "http"
    said = boss("serve")
    assert "'BOSS_PORT'" in said.stderr
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)


def test_what_follows_two_dashes_is_not_lost(boss: Boss, client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    assert boss("done", source, id, "--", '{"rows": 7}').returncode == 0
    assert client.get(f"/jobs/{id}").json()["result"] == {"rows": 7}


def test_work_without_an_option_or_source(boss: Boss, client: httpx.Client, source: str) -> None:
    id = submit(client, source, '{"a": 1}')
    working = boss.start("work", "--", "cat")
    until(lambda: client.get(f"/jobs/{id}").json()["state"] == "done")
    working.terminate()
    working.communicate(timeout=PATIENCE)
    assert client.get(f"/jobs/{id}").json()["result"] == {"a": 1}


def test_a_reader_that_has_seen_enough(boss: Boss, client: httpx.Client, source: str) -> None:
    for _ in range(3):
        submit(client, source, '{"a": "%s"}' % ("x" * 100_000))
    with subprocess.Popen(
        [PROGRAM, "jobs", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=boss.environment
    ) as listing:
        assert listing.stdout
        assert listing.stderr
        listing.stdout.readline()
        listing.stdout.close()
        assert listing.stderr.read() == b""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes(boss: Boss, shell: str) -> None:
    boss.environment.update(
        _BOSS_COMPLETE=f"complete_{shell}",
        COMP_WORDS="boss sub",
        COMP_CWORD="1",
        _TYPER_COMPLETE_ARGS="boss sub",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    said = boss()
    assert "submit" in said.stdout
    assert said.stderr == ""
