"""The output of commands where not every character can be written, or nothing at all."""

import json
import subprocess

import httpx
import pytest

from tests.helpers.commands import PROGRAM, Boss
from tests.helpers.requests import submit
from tests.helpers.servers import PATIENCE, BossProcess

pytestmark = pytest.mark.slow

_DOCUMENT = {"å": "\xe9 \u044f \U0001f600"}
# Where Python would write Latin-1, ASCII, and what a user of LANG=C has.
_ENVIRONMENTS = [
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C", "LANG": "C"},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
]


@pytest.fixture
def boss(module_boss: BossProcess) -> Boss:
    return Boss(module_boss.url)


def in_shell(boss: Boss, line: str) -> "subprocess.CompletedProcess[str]":
    """What bash comes to with this line, in which `boss` is the command."""
    return subprocess.run(
        ["bash", "-c", f'boss() {{ "{PROGRAM}" "$@"; }}; set -o pipefail; {line}'],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=boss.environment,
    )


class TestCharactersThatTheEncodingDoesNotHave:
    @pytest.mark.parametrize("environment", _ENVIRONMENTS)
    def test_a_job_is_printed_and_is_json(
        self, boss: Boss, client: httpx.Client, source: str, environment: dict[str, str]
    ) -> None:
        id = submit(client, source, json.dumps(_DOCUMENT, ensure_ascii=False))
        boss.environment.update(environment)
        encoding = environment.get("PYTHONIOENCODING", "utf-8").replace("ascii", "utf-8")
        for words in (["take", source], ["show", id, "--json"], ["jobs", "--source", source, "--json"]):
            ran = subprocess.run([PROGRAM, *words], capture_output=True, timeout=PATIENCE, env=boss.environment)
            assert (ran.returncode, ran.stderr) == (0, b"")
            assert json.loads(ran.stdout.decode(encoding))["job"] == _DOCUMENT

    @pytest.mark.parametrize("environment", _ENVIRONMENTS)
    @pytest.mark.parametrize("words", [["tree"], ["show", "ID"], ["jobs"], ["source"], ["--help"], ["doctor"]])
    def test_what_is_for_people(
        self, boss: Boss, client: httpx.Client, source: str, environment: dict[str, str], words: list[str]
    ) -> None:
        id = submit(client, source, json.dumps(_DOCUMENT, ensure_ascii=False))
        client.post(f"/job/done/{source}/{id}", content='{"done": "я \U0001f600"}')
        boss.environment.update(environment)
        ran = subprocess.run(
            [PROGRAM, *(id if word == "ID" else word for word in words)],
            capture_output=True,
            timeout=PATIENCE,
            env=boss.environment,
        )
        assert b"Traceback" not in ran.stderr
        assert ran.returncode == 0 or words == ["doctor"]


class TestNowhereToWrite:
    @pytest.mark.parametrize("command", ["jobs", "tree", "jobs --json", "tree --json", "source", "--help", "--version"])
    @pytest.mark.parametrize(("to", "why"), [("/dev/full", "No space left on device"), ("&-", "Bad file descriptor")])
    def test_one_line_says_so(
        self, boss: Boss, client: httpx.Client, source: str, command: str, to: str, why: str
    ) -> None:
        submit(client, source)
        said = in_shell(boss, f"boss {command} >{to}")
        assert (said.returncode, said.stderr) == (1, f"boss: cannot write to standard output: {why}\n")

    @pytest.mark.parametrize("to", ["/dev/full", "&-"])
    def test_what_was_done_is_said(self, boss: Boss, client: httpx.Client, source: str, to: str) -> None:
        said = in_shell(boss, f"boss submit {source} {source}-x - <<<'{{}}' >{to}")
        assert (said.returncode, said.stderr.count("\n")) == (1, 1)
        assert f"; the job is submitted, as {source}-x" in said.stderr

    @pytest.mark.parametrize("to", ["> /dev/full", ">&-", "| true"])
    def test_a_job_that_cannot_be_printed_is_given_back(
        self, boss: Boss, client: httpx.Client, source: str, to: str
    ) -> None:
        id = submit(client, source, json.dumps({"long": "x" * 500_000}))
        said = in_shell(boss, f"boss take {source} {to}")
        assert said.returncode == 1
        assert said.stderr.startswith("boss: cannot write to standard output: ")
        assert said.stderr.endswith(f"; {id} is given back\n")
        job = client.get(f"/jobs?source={source}").json()["jobs"][0]
        assert (job["state"], job["history"][0]["uncounted"]) == ("available", True)
        assert json.loads(boss("take", source).stdout)["id"] == id

    def test_whoever_reads_has_seen_enough(self, boss: Boss, client: httpx.Client, source: str) -> None:
        for _ in range(3):
            submit(client, source, json.dumps({"long": "x" * 100_000}))
        said = in_shell(boss, f"boss jobs --json --source {source} | head -c 10")
        assert (said.returncode, said.stdout, said.stderr) == (141, '{"id": "' + said.stdout[8:], "")

    @pytest.mark.parametrize("to", ["2>/dev/full", "2>&-"])
    def test_what_cannot_be_said_changes_no_exit_code(self, boss: Boss, source: str, to: str) -> None:
        assert in_shell(boss, f"boss take {source} {to}").returncode == 3
        assert in_shell(boss, f"boss work {source} --until-empty {to} -- cat").returncode == 0

    def test_no_standard_input(self, boss: Boss, source: str) -> None:
        said = in_shell(boss, f"boss submit {source} <&-")
        assert (said.returncode, "standard input is empty" in said.stderr) == (2, True)
