"""The command `boss work`."""

import os
import signal
import tempfile
from pathlib import Path

import httpx
import pytest

from tests.helpers.commands import Boss
from tests.helpers.jobs import record_of
from tests.helpers.requests import submit
from tests.helpers.servers import PATIENCE, BossProcess, alive, boss_running, free_port, until

pytestmark = pytest.mark.slow


@pytest.fixture
def boss(module_boss: BossProcess) -> Boss:
    return Boss(module_boss.url)


class TestWork:
    def test_what_the_command_gets_and_leaves(self, boss: Boss, client: httpx.Client, source: str) -> None:
        document = '{"big": 123456789012345678901234567890, "exact": 1.50}'
        id = submit(client, source, document)
        script = (
            'echo "about to"; cat; echo; echo "{\\"got\\": \\"$BOSS_JOB_ID $BOSS_SOURCE $BOSS_ATTEMPT $BOSS_URL\\"}"'
        )
        said = boss("work", source, "--once", "--", "sh", "-c", script)
        assert said.returncode == 0
        assert f"slot 1: {source}/{id}, attempt 1: done" in said.stderr
        assert record_of(client, source)["result"] == {"got": f"{id} {source} 1 {client.base_url}"}
        id = submit(client, f"{source}-2", document)
        boss("work", "--until-empty", "--", "sh", "-c", 'test "$(cat)" = "$1"', "x", document)
        assert record_of(client, f"{source}-2")["outcome"] == "completed"

    def test_a_failure_gives_the_job_back_with_its_reason(self, boss: Boss, client: httpx.Client, source: str) -> None:
        submit(client, source)
        said = boss("work", source, "--once", "--", "sh", "-c", "seq 10000 >&2; echo no such column >&2; exit 7")
        assert said.returncode == 1
        shown = record_of(client, source)
        assert (shown["state"], shown["attempt"], shown["result"]["exit"]) == ("available", 1, 7)
        assert shown["result"]["error"].endswith("\n10000\nno such column\n")
        assert len(shown["result"]["error"]) == 2000

    def test_what_cannot_be_kept_does_not_end_the_converter(
        self, boss: Boss, client: httpx.Client, source: str
    ) -> None:
        for _ in range(3):
            submit(client, source)
        script = """case $(cat) in *) n=$(ls "$1" | wc -l); touch "$1/$n" ;; esac
            case $n in
                0) printf 'a\\0b\\377c' >&2; exit 1 ;;
                1) echo '{"a": "\\u0000"}' ;;
                2) echo '{"fine": true}' ;;
            esac"""
        with tempfile.TemporaryDirectory() as folder:
            said = boss("work", source, "--until-empty", "--", "bash", "-c", script, "x", folder)
        assert (said.returncode, "Traceback" in said.stderr) == (0, False)
        jobs = client.get(f"/jobs?source={source}").json()["jobs"]
        assert [(job["state"], job["result"]) for job in reversed(jobs)] == [
            ("available", {"exit": 1, "error": "a\ufffdb\ufffdc"}),
            (
                "done",
                {
                    "note": "the result could not be kept: The result has a NUL character (\\u0000) in a "
                    "string, which cannot be kept",
                },
            ),
            ("done", {"fine": True}),
        ]

    def test_what_the_command_left_behind_does_not_hold_it_up(
        self, boss: Boss, client: httpx.Client, source: str, tmp_path: Path
    ) -> None:
        submit(client, source)
        # It has the output still, and in a session of its own it is not ended with the command.
        pid = tmp_path / "pid"
        script = (
            f"setsid sh -c 'echo $$ > {pid}; exec sleep 600' & while ! test -s {pid}; do sleep 0.05; done; echo '{{}}'"
        )
        said = boss("work", source, "--once", "--", "sh", "-c", script)
        left = int(pid.read_text())
        assert alive(left)
        os.kill(left, signal.SIGKILL)
        assert "attempt 1: done" in said.stderr
        assert record_of(client, source)["result"] == {}

    def test_99_gives_it_up(self, boss: Boss, client: httpx.Client, source: str) -> None:
        submit(client, source)
        boss("work", source, "--once", "--", "sh", "-c", "echo broken >&2; exit 99")
        shown = record_of(client, source)
        assert (shown["state"], shown["outcome"]) == ("done", "failed")
        assert shown["result"] == {"exit": 99, "error": "broken\n"}

    def test_many_at_once_from_several_sources(self, boss: Boss, client: httpx.Client, source: str) -> None:
        sources = [f"{source}-{number}" for number in range(3)]
        for each in sources:
            for _ in range(20):
                submit(client, each)
        submit(client, f"{source}-other")
        boss("work", *sources, "--until-empty", "-j", "4", "--", "true")
        counts = client.get("/job").json()
        assert [counts["done"][each] for each in sources] == [20, 20, 20]
        assert counts["available"][f"{source}-other"] == 1

    def test_a_stop_ends_the_command_and_all_it_started(
        self, boss: Boss, client: httpx.Client, source: str, tmp_path: Path
    ) -> None:
        id = submit(client, source)
        pids = tmp_path / "pids"
        # It and its child take no notice of SIGTERM.
        script = f"trap '' TERM; sleep 600 & echo $! $$ > {pids}; wait; wait"
        working = boss.start("work", source, "--once", "--lease", "1", "--grace", "0.5", "--", "sh", "-c", script)
        until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        client.post(f"/job/done/{source}/{id}?outcome=stopped")
        _, said = working.communicate(timeout=PATIENCE)
        assert "stopped or lost" in said
        assert not [pid for pid in pids.read_text().split() if alive(int(pid))]
        assert record_of(client, source)["outcome"] == "stopped"

    @pytest.mark.parametrize(
        ("script", "grace", "state", "says"),
        [("sleep 600", "1", "available", "given back"), ("sleep 1", "60", "done", "done")],
    )
    def test_when_it_is_stopped_it_finishes_or_gives_back(
        self,
        boss: Boss,
        client: httpx.Client,
        tmp_path: Path,
        source: str,
        script: str,
        grace: str,
        state: str,
        says: str,
    ) -> None:
        submit(client, source)
        started = tmp_path / "started"
        working = boss.start("work", source, "--grace", grace, "--", "sh", "-c", f"touch {started}; {script}")
        # The job is active before the command runs; one that has not started yet is given back at once.
        until(started.exists)
        working.send_signal(signal.SIGTERM)
        _, said = working.communicate(timeout=PATIENCE)
        assert (working.returncode, f"attempt 1: {says}" in said) == (0, True)
        shown = record_of(client, source)
        assert (shown["state"], shown["due"]) == (state, None)

    def test_a_second_signal_ends_it_at_once_though_boss_is_away(self, database: str, tmp_path: Path) -> None:
        pid = tmp_path / "pid"
        with boss_running("--database", database) as replica, replica.client() as client:
            submit(client, "freg")
            boss = Boss(replica.url)
            script = f"trap '' TERM; echo $$ > {pid}; while :; do sleep 1; done"
            working = boss.start("work", "freg", "--grace", "600", "--", "sh", "-c", script)
            until(lambda: pid.exists() and bool(pid.read_text().strip()))
            replica.kill()
            working.send_signal(signal.SIGTERM)
            working.send_signal(signal.SIGINT)
            _, said = working.communicate(timeout=PATIENCE)
        # Of two that wait to be heard the lesser number comes first.
        assert working.returncode in (130, 143)
        assert not alive(int(pid.read_text()))
        assert "ended at once; jobs not given back become available when their leases expire" in said
        assert "Traceback" not in said

    def test_it_rides_out_a_restart_with_what_it_holds(self, database: str, tmp_path: Path) -> None:
        port, go_on = free_port(), tmp_path / "go-on"
        boss = Boss(f"http://127.0.0.1:{port}")
        script = f"while ! test -e {go_on}; do sleep 0.1; done"
        working = boss.start("work", "freg", "--lease", "10", "-j", "2", "--", "sh", "-c", script)
        with boss_running("--database", database, port=port) as first, first.client() as client:
            id = submit(client, "freg")
            until(lambda: record_of(client, "freg")["state"] == "active")
            first.kill()
        with boss_running("--database", database, port=port) as second, second.client() as client:
            checked = record_of(client, "freg")["seen"]
            until(lambda: record_of(client, "freg")["seen"] != checked)
            go_on.touch()
            until(lambda: record_of(client, "freg")["state"] == "done")
            shown = record_of(client, "freg")
            assert (shown["id"], shown["attempt"], shown["outcome"]) == (id, 1, "completed")
            submit(client, "freg")
            until(lambda: client.get("/job").json()["done"]["freg"] == 2)
            working.send_signal(signal.SIGINT)
            _, said = working.communicate(timeout=PATIENCE)
        assert "no Boss answers at" in said
        assert "Traceback" not in said
