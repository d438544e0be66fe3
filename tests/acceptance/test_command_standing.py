"""What commands say when a job or a source is not in the expected state; one job and many, as people read them."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from boss.cli.times import ago
from tests.helpers.commands import Boss, Terminal
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, boss_running, until

pytestmark = pytest.mark.slow


@pytest.fixture
def boss(module_boss: BossProcess) -> Boss:
    return Boss(module_boss.url)


class TestAJobThatIsElsewhere:
    def test_it_is_of_another_source(self, boss: Boss, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        client.get(f"/job/available/{source}")
        for command in ("check", "done", "give-back", "stop"):
            said = boss(command, "other", id)
            assert (said.returncode, said.stderr) == (3, f"boss: {id} is a job of {source}, not of other\n")

    def test_it_is_in_another_state_or_attempt(self, boss: Boss, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        assert boss("check", source, id).stderr == f"boss: {id} is available: nobody has it\n"
        for _ in range(2):
            client.get(f"/job/available/{source}")
            client.delete(f"/job/active/{source}/{id}?delay=0")
        assert boss("check", source, id).stderr == f"boss: {id} is available, after attempt 2: nobody has it\n"
        client.get(f"/job/available/{source}")
        assert boss("check", source, id, "--attempt", "3").returncode == 0
        said = boss("check", source, id, "--attempt", "1")
        assert said.stderr == f"boss: {id} is in attempt 3 by now, not 1: another converter has it\n"
        for command in ("done", "give-back"):
            said = boss(command, source, id, "--attempt", "1")
            assert (said.returncode, "active in attempt 3" in said.stderr) == (3, True)
        client.post(f"/job/done/{source}/{id}?outcome=failed")
        said = boss("check", source, id)
        assert re.fullmatch(rf"boss: {id} is done: failed (just now|\d+ s ago)\n", said.stderr)

    def test_a_converter_that_may_not_look_hears_what_it_may(self, database: str) -> None:
        with boss_running("--database", database) as running:
            boss = Boss(running.url)
            boss.environment["BOSS_TOKEN"] = boss("token", "create", "root", "--role", "admin").stdout.strip()
            made = boss("token", "create", "freg", "--role", "converter", "--source", "freg").stdout.strip()
            boss("submit", "freg", "monday", stdin="{}")
            said = boss("check", "freg", "monday", "--token", made)
            assert (said.returncode, said.stderr) == (3, "boss: /job/active/freg/monday is available\n")
            assert boss("take", "nothing", "--token", made).returncode == 77


class TestWhyItIsAvailable:
    def test_converters_of_other_sources_do_not_count(self, database: str) -> None:
        with boss_running("--database", database) as running, running.client() as client:
            boss = Boss(running.url)
            first, second = submit(client, "freg"), submit(client, "freg")
            with taking(running, "other"):
                nobody = "why         nobody asks for jobs of freg: none is active, and no converter has asked"
                assert f"{nobody}\n" in boss("show", first).stdout
                assert f"{nobody}; it waits behind 1 job\n" in boss("show", second).stdout
            client.get("/job/available/freg")
            assert "it is the next of freg; its converters are at work on 1 job\n" in boss("show", second).stdout
            client.post(f"/job/done/freg/{first}")
            # That a converter has asked is recorded after a moment.
            until(lambda: "it is the next of freg; a converter has just asked for one\n" in boss("show", second).stdout)


@contextmanager
def taking(running: BossProcess, source: str) -> Iterator[None]:
    """A converter that waits for a job of this source."""
    with Boss(running.url).start("work", source, "--", "true") as converter:
        try:
            until(lambda: "boss_waiting_takers 1.0" in httpx.get(f"{running.url}/metrics").text)
            yield
        finally:
            converter.terminate()


class TestOneJob:
    def test_all_that_is_known(self, boss: Boss, client: httpx.Client, source: str) -> None:
        id = submit(client, source, '{"exact": 1.50}', priority=3)
        said = boss("show", id).stdout
        for line in (f"id          {id}", f"source      {source}", "state       available", "priority    3"):
            assert f"{line}\n" in said
        assert re.search(rf"^why +(nobody asks for jobs|it is the next) of {source}", said, re.MULTILINE)
        assert 'document    {"exact": 1.50}\n' in said
        client.get(f"/job/available/{source}")
        client.request("DELETE", f"/job/active/{source}/{id}?delay=60", content='{"error": "no column"}')
        assert re.search(r"due +\S+Z, in (\d+ s|1 min)\n", boss("show", id).stdout)
        id = submit(client, source)
        client.get(f"/job/available/{source}")
        client.request("DELETE", f"/job/active/{source}/{id}?delay=0", content='{"error": "no column"}')
        client.get(f"/job/available/{source}")
        client.post(f"/job/done/{source}/{id}", content='{"rows": 7}')
        said = boss("show", id).stdout
        assert "state       done, completed\n" in said
        assert 'result      {"rows": 7}\n' in said
        assert re.search(r"attempt 1 +taken \S+Z, given back \S+Z: no column\n", said), said

    def test_nothing_in_it_reaches_the_terminal(self, boss: Boss, client: httpx.Client, source: str) -> None:
        id = submit(client, source, '{"a": "\\u001b[2J\\u009b2J"}')
        client.get(f"/job/available/{source}")
        client.request("DELETE", f"/job/active/{source}/{id}", content='{"error": "a\\n\\u001b]0;b"}')
        said = boss("show", id).stdout
        assert not [each for each in said.replace("\n", "") if not each.isprintable()]
        assert ": a\n            \ufffd]0;b\n" in said

    def test_a_traceback_is_lines(self, boss: Boss, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        client.get(f"/job/available/{source}")
        why = 'Traceback:\r\n  File "a.py"\n\n\tat Main\nValueError: 7\n'
        client.request("DELETE", f"/job/active/{source}/{id}", json={"error": why})
        [*_, file, empty, at, error] = boss("show", id).stdout.splitlines()
        assert [file, empty, at, error] == [
            '              File "a.py"',
            "",
            "                at Main",
            "            ValueError: 7",
        ]

    def test_as_json(self, boss: Boss, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        assert json.loads(boss("show", id, "--json").stdout) == client.get(f"/jobs/{id}").json()
        assert boss("show", f"{id}-not").stderr == f"boss: no job has the id {id}-not\n"


class TestAnUnknownSource:
    def test_it_is_said_to_be_unknown(self, boss: Boss, client: httpx.Client, source: str) -> None:
        submit(client, source)
        typo = source[:-1] + "x" + source[-1]
        for words in (
            ["jobs", "--source", typo],
            ["jobs", "--source", typo, "--json"],
            ["take", typo],
            ["source", typo],
            ["source", typo, "--free"],
            ["stop", "--source", typo],
        ):
            said = boss(*words)
            assert f"no job of {typo} was ever submitted; did you mean {source}?" in said.stderr
            assert (said.returncode, said.stderr.count("\n"), said.stdout) == (3, 1, "")
        assert typo not in boss("audit").stdout
        assert boss("jobs", "--source", source, "--state", "done").stderr == "boss: there are no such jobs\n"

    def test_a_rule_before_its_first_job(self, boss: Boss, source: str) -> None:
        said = boss("source", source, "--paused", "--limit", "3")
        assert said.returncode == 0
        assert f"boss: no job of {source} was ever submitted" in said.stderr
        assert "(its rule applies from its first job on)" in said.stderr
        assert "paused, 3 active at most" in said.stdout

    def test_what_is_not_named_stays(self, boss: Boss, client: httpx.Client, source: str) -> None:
        submit(client, source)
        whole = ("--limit", "3", "--attempts", "4", "--delays", "1,2", "--lease", "0", "--timeout", "9", "--rate", "2")
        before = json.loads(boss("source", source, *whole, "--keep-done", "365", "--json").stdout)
        said = boss("source", source, "--lease", "0")
        assert "2 a second at most, done jobs kept 365 d, delays 1 2 s" in said.stdout, said.stderr
        paused = json.loads(boss("source", source, "--paused", "--json").stdout)
        assert paused == {**before, "paused": True}
        assert json.loads(boss("source", source, "--limit", "4", "--json").stdout) == {**paused, "limit": 4}
        assert json.loads(boss("source", source, "--resume", "--json").stdout) == {**before, "limit": 4}
        without = boss("source", source, "--without", "limit", "--without", "keep-done", "--rate", "5", "--json").stdout
        assert json.loads(without) == {**before, "limit": None, "keep_done": None, "rate": 5}
        assert boss("source", source, "--without", "rate", "--rate", "5").returncode == 2
        assert "keep-done" in boss("source", source, "--without", "keep").stderr
        assert json.loads(boss("source", source, "--free", "--json").stdout)["rate"] is None
        assert boss("source", source, "--free", "--resume").returncode == 2


class TestManyJobs:
    @pytest.mark.parametrize("length", [4, 30, 64])
    def test_they_fit_a_terminal_with_whole_names(
        self, boss: Boss, client: httpx.Client, source: str, length: int
    ) -> None:
        source = f"{source}-{length}"
        ids = [f"{'x' * (length - 2)}-{n}" for n in range(3)]
        for id in ids:
            submit(client, f"{source}/{id}")
        client.post(f"/job/done/{source}/{ids[0]}", content='{"text": "%s"}' % ("так " * 100))
        client.get(f"/job/available/{source}/{ids[1]}")
        terminal = Terminal(boss, "jobs", "--source", source, columns=80)
        shown = terminal.until(ids[0])
        assert terminal.ended() == 0
        assert max(map(len, shown.splitlines())) <= 80
        assert all(id in shown for id in ids)

    def test_the_newest_come_first_whatever_their_ids_are(self, boss: Boss, client: httpx.Client, source: str) -> None:
        ids = [f"{name}-{source}" for name in ("monday", "tuesday", "wednesday", "thursday", "friday")]
        for id in ids:
            submit(client, f"{source}/{id}")
        client.get(f"/job/available/{source}")
        listed = [line.split()[2] for line in boss("jobs", "--source", source).stdout.splitlines()[1:]]
        assert listed == ids[::-1]
        listed = [line.split()[2] for line in boss("jobs", "--source", source, "--limit", "2").stdout.splitlines()[1:]]
        assert listed == ids[:-3:-1]
        in_json = [json.loads(line)["id"] for line in boss("jobs", "--source", source, "--json").stdout.splitlines()]
        assert in_json == sorted(ids, reverse=True)

    def test_of_very_many_they_are_by_id(self, boss: Boss, client: httpx.Client, source: str) -> None:
        lines = "".join(f'{{"id": "{source}-{n}", "job": {{}}}}\n' for n in range(1001))
        headers = {"content-type": "application/x-ndjson"}
        client.post(f"/job/available/{source}?ids=given", content=lines, headers=headers).raise_for_status()
        said = boss("jobs", "--source", source, "--limit", "1")
        assert f"{source}-999" in said.stdout
        assert said.stderr.startswith("boss: sorted by id, because there are more than 1,000;")

    def test_a_pipe_gets_everything(self, boss: Boss, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        client.post(f"/job/done/{source}/{id}", content='{"text": "%s\\u009b1m"}' % ("x" * 1000))
        said = boss("jobs", "--source", source).stdout
        assert "x" * 1000 in said
        assert "\x9b" not in said


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (-0.4, "just now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 h ago"),
        (47 * 3600, "47 h ago"),
        (48 * 3600, "2 days ago"),
        (59 * 86_400, "59 days ago"),
        (61 * 86_400, "2026-09-26"),
        (-90, "in 1 min"),
        (-3 * 86_400, "in 3 days"),
    ],
)
def test_how_long_ago(seconds: float, words: str) -> None:
    now = datetime(2026, 11, 26, 12, tzinfo=UTC)
    assert ago((now - timedelta(seconds=seconds)).isoformat(), now) == words


class TestPruning:
    def test_it_asks_first(self, database: str) -> None:
        with boss_running("--database", database) as running, running.client() as client:
            boss = Boss(running.url)
            for _ in range(3):
                client.post(f"/job/done/freg/{submit(client, 'freg')}")
            assert boss("prune", "--older-than", "0", "--dry-run").stdout == "would delete 3\n"
            assert boss("prune", "--older-than", "1", "--dry-run").stdout == "would delete 0\n"
            for answer, says in (("n\n", "nothing was done"), ("", "no answer came, and nothing was done; --yes")):
                said = boss("prune", "--older-than", "0", stdin=answer)
                assert "Delete 3 jobs done more than 0 days ago?" in said.stdout
                assert (said.returncode, said.stderr.startswith(f"boss: {says}")) == (1, True)
            assert client.get("/job").json()["done"] == {"freg": 3}
            assert boss("audit").stdout.count("pruned") == 0
            assert boss("prune", "--older-than", "0", stdin="y\n").stdout.endswith("deleted 3\n")
            assert boss("prune", "--older-than", "0").stdout == "deleted 0\n"

    def test_nothing_is_said_to_be_deleted_when_nothing_was(self, boss: Boss) -> None:
        said = boss("prune", "--older-than", "1", "--yes", "--url", "http://127.0.0.1:1")
        assert (said.returncode, said.stdout) == (75, "")

    def test_over_http(self, client: httpx.Client, source: str) -> None:
        client.post(f"/job/done/{source}/{submit(client, source)}")
        answer = client.delete("/job/done?older=0&dry_run=1").json()
        assert (answer["deleted"], answer["more"], answer["would_delete"] > 0) == (0, False, True)
        assert client.get("/job").json()["done"][source] == 1
        refused = client.delete("/job/done?older=0&dry_run=yes")
        assert (refused.status_code, client.get("/job").json()["done"][source]) == (400, 1)
