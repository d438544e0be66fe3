"""The commands that ask a running Boss, as processes."""

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.helpers.commands import PROGRAM, Boss, Terminal
from tests.helpers.jobs import record_of
from tests.helpers.requests import submit
from tests.helpers.servers import PATIENCE, BossProcess, boss_running, free_port, until

pytestmark = pytest.mark.slow


@pytest.fixture
def boss(module_boss: BossProcess) -> Boss:
    return Boss(module_boss.url)


class TestOneJob:
    def test_its_whole_life(self, boss: Boss, client: httpx.Client, source: str) -> None:
        id = f"{source}-monday"
        said = boss("submit", source, id, "--priority", "5", "--attempts", "3", stdin='{"a": "å"}')
        assert (said.returncode, said.stdout, said.stderr) == (0, f"{id}\n", "")
        taken = json.loads(boss("take", source, "--lease", "60").stdout)
        assert taken == {"id": id, "source": source, "attempt": 1, "lease": 60, "job": {"a": "å"}}
        assert boss("check", source, id, "--attempt", "1").returncode == 0
        assert boss("give-back", source, id, '{"why": "later"}', "--delay", "0").returncode == 0
        assert record_of(client, source)["result"] == {"why": "later"}
        assert json.loads(boss("take").stdout)["attempt"] == 2
        assert boss("done", source, id, "-", "--attempt", "2", stdin='{"rows": 7}').returncode == 0
        shown = record_of(client, source)
        assert (shown["outcome"], shown["result"], shown["priority"], shown["attempts"]) == (
            "completed",
            {"rows": 7},
            5,
            3,
        )
        assert f"        └── {id}" in boss("tree").stdout
        assert json.loads(boss("tree", "--json").stdout)["done"][source] == 1
        assert [json.loads(line) for line in boss("jobs", "--source", source, "--json").stdout.splitlines()] == [shown]
        table = boss("jobs", "--source", source).stdout
        assert f"done   {source}  {id}  2/3" in table
        assert '{"rows": 7}' in table

    def test_a_file(self, boss: Boss, client: httpx.Client, source: str, tmp_path: Path) -> None:
        file = tmp_path / "document.json"
        file.write_text('{"from": "a file"}')
        for words in ([str(file)], [f"{source}-named", str(file)]):
            assert boss("submit", source, *words, "--at", "2020-01-01T00:00:00+01:00").returncode == 0
        jobs = client.get(f"/jobs?source={source}").json()["jobs"]
        assert [job["job"] for job in jobs] == [{"from": "a file"}] * 2
        assert f"{source}-named" in {job["id"] for job in jobs}

    def test_stopping(self, boss: Boss, client: httpx.Client, source: str) -> None:
        first, *_ = [submit(client, source) for _ in range(4)]
        client.get(f"/job/available/{source}")
        assert boss("stop", source, first).returncode == 0
        client.get(f"/job/available/{source}")
        said = boss("stop", "--source", source, stdin="n\n")
        assert (said.returncode, "Stop 3 jobs of" in said.stdout) == (1, True)
        assert client.get("/job").json()["done"][source] == 1
        assert boss("stop", "--source", source, "--yes").stdout == "stopped 3\n"
        jobs = client.get(f"/jobs?source={source}").json()["jobs"]
        assert {(job["state"], job["outcome"]) for job in jobs} == {("done", "stopped")}


class TestManyLines:
    def test_they_go_on_after_what_broke_them_off(
        self, boss: Boss, client: httpx.Client, source: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "all.ndjson"
        lines = [f'{{"n": {n}, "exact": 0.10}}\r\n' for n in range(2500)]
        file.write_text("".join([*lines[:2200], '{"n": }\n', *lines[2201:]]))
        words = ("submit", source, str(file), "--lines", "--batch", source, "--priority", "2")
        broken = boss(*words)
        assert broken.returncode == 2
        assert f"boss: line 2,201 of {file} is not JSON: Expecting value at column 7\n" in broken.stderr
        assert f"boss: 2,000 lines are submitted; with --batch {source} the same command goes on\n" in broken.stderr
        assert client.get("/job").json()["available"][source] == 2000
        file.write_text("".join(lines))
        mended = boss(*words)
        ids = [f"{source}-{number:09}" for number in range(1, 2501)]
        assert mended.stdout == f"submitted 500, 2,000 were there already; the ids are {ids[0]} to {ids[-1]}\n"
        got = [
            job for limit in (1000, 1000, 1000) for job in client.get(f"/job/available/{source}?limit={limit}").json()
        ]
        assert [(job["id"], job["job"]["n"]) for job in got] == list(zip(ids, range(2500), strict=True))

    def test_from_standard_input_with_a_batch_of_its_own(self, boss: Boss, client: httpx.Client, source: str) -> None:
        said = boss("submit", source, "--lines", "--attempts", "2", stdin='{"a": 1}\n{"a": 2}')
        assert re.fullmatch(r"submitted 2; the ids are \w{26}-000000001 to \w{26}-000000002\n", said.stdout)
        jobs = client.get(f"/jobs?source={source}").json()["jobs"]
        assert [(job["job"], job["attempts"]) for job in jobs] == [({"a": 2}, 2), ({"a": 1}, 2)]

    def test_a_restart_is_ridden_out(self, database: str, tmp_path: Path) -> None:
        port, file = free_port(), tmp_path / "all.ndjson"
        file.write_text('{"a": "%s"}\n' % ("x" * 500) * 50_000)
        boss = Boss(f"http://127.0.0.1:{port}")
        with boss_running("--database", database, port=port) as first, first.client() as client:
            submitting = subprocess.Popen(
                [PROGRAM, "submit", "freg", file, "--lines"], stdout=subprocess.PIPE, text=True, env=boss.environment
            )
            until(lambda: client.get("/job").json()["available"].get("freg", 0) > 0)
            first.kill()
        with boss_running("--database", database, port=port) as second, second.client() as client:
            said, _ = submitting.communicate(timeout=PATIENCE)
            assert submitting.returncode == 0
            assert said.startswith("submitted ")
            assert client.get("/job").json()["available"]["freg"] == 50_000

    def test_a_bar_on_a_terminal(self, boss: Boss, client: httpx.Client, source: str, tmp_path: Path) -> None:
        file = tmp_path / "all.ndjson"
        file.write_text('{"a": 1}\n' * 3000)
        terminal = Terminal(boss, "submit", source, str(file), "--lines")
        shown = terminal.until("submitted 3,000; the ids are")
        assert re.search("3,000 submitted .* 100%", shown)
        assert terminal.ended() == 0


class TestTerminal:
    def test_work_shows_what_each_slot_is_doing(self, boss: Boss, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        terminal = Terminal(boss, "work", source, "-j", "2", "--grace", "0", "--", "sleep", "600")
        terminal.until(id)
        terminal.until("2 s")
        terminal.until("waits for a job")
        assert terminal.end() == 0
        assert record_of(client, source)["state"] == "available"

    def test_the_tree_is_live(self, boss: Boss, client: httpx.Client, source: str) -> None:
        submit(client, source)
        terminal = Terminal(boss, "tree", "--watch")
        terminal.until(source)
        id = submit(client, source)
        terminal.until(id)
        assert terminal.end() == 0


class TestMistakes:
    @pytest.mark.parametrize(
        ("words", "stdin", "code", "says"),
        [
            (["submit", "freg"], '{"a":}', 2, "the document is not JSON: Expecting value at line 1, column 6"),
            (["submit", "freg"], "[]", 2, 'the document is not a JSON object such as {"a": 1}'),
            (["submit", "freg", "id", "/nowhere"], "", 2, "cannot read /nowhere: "),
            (["submit", "fr eg"], "{}", 2, "'fr eg' cannot be a source: it takes 1 to 100 of"),
            (["take", "nothing"], "", 3, "no job of nothing is ready"),
            (["check", "freg", "none"], "", 3, "no job has the id none"),
            (["done", "freg", "none"], "", 3, "only an available or active job can be done: no job has the id none"),
            (["done", "freg", "none", "{"], "", 2, "the result is not JSON"),
            (["give-back", "freg", "none"], "", 3, "no job has the id none"),
            (
                ["submit", "freg", "--lines"],
                "[]\n",
                2,
                'line 1 of standard input is not a JSON object such as {"a": 1}',
            ),
            (["submit", "freg", "--batch", "b"], "{}", 2, "--batch is for many jobs, with --lines"),
            (["submit", "freg", "an-id", "--lines"], "{}", 2, "many jobs cannot have one id; --batch NAME is what"),
            (
                ["submit", "freg", "--lines", "--batch", "a b"],
                "{}",
                2,
                "--batch a b cannot begin an id: 'a b-000000001' cannot",
            ),
            (["stop"], "", 2, "say which: boss stop SOURCE ID"),
            (["work", "freg"], "", 2, "say what to run for each job, after --"),
            (["work", "freg", "--", "no-such-program"], "", 2, "there is no program 'no-such-program' to run"),
            (["tree", "--url", "localhost:8080"], "", 2, "'localhost:8080' is no URL; it should look like http://"),
        ],
    )
    def test_one_line_says_what_to_do(self, boss: Boss, words: list[str], stdin: str, code: int, says: str) -> None:
        said = boss(*words, stdin=stdin)
        assert said.stderr.startswith("boss: ")
        assert says in said.stderr
        assert (said.returncode, said.stderr.count("\n"), said.stdout) == (code, 1, "")

    def test_nobody_there(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        said = Boss(url)("tree")
        assert said.stderr.startswith(f"boss: no Boss answers at {url}: ")
        assert "Is it running there? (--url or BOSS_URL say where Boss is)" in said.stderr
        assert (said.returncode, said.stderr.count("\n")) == (75, 1)

    def test_an_id_that_is_taken(self, boss: Boss, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        said = boss("submit", source, id, stdin="{}")
        assert (said.returncode, said.stderr) == (1, f"boss: the id is taken: it is at /job/available/{source}/{id}\n")

    @pytest.mark.parametrize(
        "command", ["serve", "work", "submit", "take", "check", "done", "give-back", "stop", "tree", "jobs", "prune"]
    )
    def test_help_has_an_example(self, boss: Boss, command: str) -> None:
        assert f"Example: boss {command}" in boss(command, "--help").stdout


class TestAdministering:
    """Its own Boss, for from the first token on everybody needs one."""

    def test_tokens_from_the_first_to_the_last(self, database: str) -> None:
        with boss_running("--database", database) as running:
            boss = Boss(running.url)
            early = boss("token", "create", "freg-import", "--role", "converter")
            assert (early.returncode, early.stdout) == (1, "")
            assert "boss: the first token must be an admin's" in early.stderr
            root = boss("token", "create", "root", "--role", "admin").stdout.strip()
            refused = boss("tree")
            assert refused.returncode == 77
            assert "boss: this needs a token" in refused.stderr
            boss.environment["BOSS_TOKEN"] = root
            made = boss(
                *("token", "create", "freg-import", "--role", "converter"),
                *("--source", "freg", "--source", "sirius", "--expires", "90d"),
            )
            assert re.fullmatch(r"boss_[A-Za-z0-9_-]{43}\n", made.stdout)
            listed = [json.loads(line) for line in boss("token", "list", "--json").stdout.splitlines()]
            assert [(each["name"], each["sources"]) for each in listed] == [
                ("freg-import", ["freg", "sirius"]),
                ("root", None),
            ]
            table = boss("token", "list").stdout
            assert re.search(r"freg-import +converter +freg sirius", table)
            assert root not in table
            submitted = boss("submit", "other", "elsewhere", stdin="{}")
            assert submitted.returncode == 0
            converter = Boss(running.url)
            converter.environment["BOSS_TOKEN"] = made.stdout.strip()
            assert converter("take", "--wait", "0").returncode == 3
            assert "is not for the source 'other'" in converter("take", "other").stderr
            assert "which may not do that" in converter("tree").stderr
            assert "is refused" in converter("check", "other", "elsewhere").stderr
            assert boss("token", "revoke", "freg-import").returncode == 0
            assert "needs a token" in converter("take").stderr
            assert "last token of an admin" in boss("token", "revoke", "root").stderr
            audit = boss("audit").stdout.splitlines()
            assert re.search(r"root +revoked a token +token freg-import", audit[1])
            assert "token freg-import, expires after 90d, role converter, sources freg sirius" in audit[2]

    def test_a_source_is_held_to_something(self, boss: Boss, client: httpx.Client, source: str) -> None:
        submit(client, source)
        assert boss("source", source, "--paused").stdout.splitlines()[1].split() == [source, "1", "0", "0", "paused"]
        assert boss("take", source).returncode == 3
        assert f"{source} is paused" in boss("take", source).stderr
        assert boss("source", source, "--limit", "4").stdout.splitlines()[1].rstrip().endswith("4 active at most")
        assert boss("source", source, "--free").stdout.splitlines()[1].split() == [source, "1", "0", "0"]
        assert any(line.split()[:1] == [source] for line in boss("source").stdout.splitlines())
        assert json.loads(boss("source", source, "--json").stdout)["limit"] is None
        assert boss("take", source).returncode == 0
        for words in (["--paused"], [source, "--free", "--limit", "4"]):
            assert boss("source", *words).returncode == 2

    def test_why_a_job_was_stopped(self, boss: Boss, client: httpx.Client, source: str) -> None:
        first, *_ = [submit(client, source) for _ in range(3)]
        assert boss("stop", source, first, "--reason", "the wrong file").returncode == 0
        assert boss("stop", "--source", source, "--reason", "all wrong", "--yes").stdout == "stopped 2\n"
        results = {job["id"]: job["result"] for job in client.get(f"/jobs?source={source}").json()["jobs"]}
        assert results.pop(first) == {"reason": "the wrong file"}
        assert list(results.values()) == [{"reason": "all wrong"}] * 2
        assert "the wrong file" in boss("jobs", "--source", source).stdout

    @pytest.mark.parametrize("span", ["90", "d", "1y", "-1d", ""])
    def test_a_span_that_is_none(self, boss: Boss, span: str) -> None:
        said = boss("token", "create", "x", "--role", "admin", "--expires", span)
        assert said.returncode == 2
        assert "should look like 90d" in said.stderr
