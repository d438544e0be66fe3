"""Notes that converters leave through the clients and the command, and go on from."""

import signal
import subprocess
import sys

import httpx
import pytest

import boss
from boss.model.job import MOST_NOTE
from tests.helpers.commands import PROGRAM, Boss
from tests.helpers.jobs import record
from tests.helpers.notes import left_behind
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, boss_running, until

pytestmark = pytest.mark.slow


CONVERTER = """
import sys, time
from boss import Converter, Job

def convert(job: Job) -> dict:
    begun = (job.note or {"page": 0})["page"]
    for page in range(begun + 1, 6):
        job.leave_note({"page": page})
        if page == 3 and job.attempt == 1:
            print("halfway", flush=True)
            time.sleep(600)
    return {"from": begun, "to": page}

Converter(convert, [sys.argv[2]], url=sys.argv[1], once=True).run()
"""


def test_after_a_kill_the_next_attempt_goes_on(database: str) -> None:
    with boss_running("--database", database, "--lease", "3") as running, running.client() as client:
        id = submit(client, "freg")

        def start() -> subprocess.Popen[str]:
            words = [sys.executable, "-c", CONVERTER, running.url, "freg"]
            return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

        with start() as killed:
            assert killed.stdout
            assert killed.stdout.readline() == "halfway\n"
            killed.send_signal(signal.SIGKILL)
        assert record(client, id)["note"] == {"page": 3}
        with start() as following:
            until(lambda: record(client, id)["state"] == "done", lambda: str(record(client, id)))
            assert following.wait(60) == 0
        shown = record(client, id)
        assert (shown["attempt"], shown["result"], shown["note"]) == (2, {"from": 3, "to": 5}, {"page": 5})
        assert shown["history"][0]["how"] == "lease ran out"


class TestClients:
    def test_the_client_leaves_and_gets_them(self, module_boss: BossProcess, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        with boss.Client(module_boss.url) as converter:
            job = converter.take_now(source)
            assert (job.note, job.note_text) == (None, None)
            job.leave_note({"page": 1})
            converter.leave_note(source, id, '{"exact": 1.50}', job.attempt)
            with pytest.raises(boss.BadInput, match="larger than 65536 bytes"):
                job.leave_note({"a": "x" * MOST_NOTE})
            job.give_back(0)
            again = converter.take_now(source)
            assert (again.note, again.note_text) == ({"exact": 1.5}, '{"exact": 1.50}')
            with pytest.raises(boss.WrongAttempt):
                converter.leave_note(source, id, {}, 1)
            client.post(f"/job/done/{source}/{id}?outcome=stopped")
            with pytest.raises(boss.NotThere):
                converter.leave_note(source, id, {})
            with pytest.raises(boss.Lost):
                again.leave_note({})
            assert again.stopped

    def test_a_number_with_many_digits(self, module_boss: BossProcess, client: httpx.Client, source: str) -> None:
        left_behind(client, source, '{"n": 1e60000}')
        with boss.Client(module_boss.url) as converter:
            job = converter.take_now(source)
            assert job.note == {"n": 10**60000}
            assert job.note_text == f'{{"n": 1{"0" * 60000}}}'

    def test_the_command(self, module_boss: BossProcess, client: httpx.Client, source: str) -> None:
        run, id = Boss(module_boss.url), submit(client, source)
        assert '"note"' not in run("take", source).stdout
        assert run("note", source, id, '{"page": 3}', "--attempt", "1").returncode == 0
        assert record(client, id)["note"] == {"page": 3}
        assert run("note", source, id, "-", stdin='{"page": 4}\n').returncode == 0
        shown = run("show", id).stdout
        assert [line.split(maxsplit=1)[1] for line in shown.splitlines() if line.startswith("note")] == ['{"page": 4}']
        said = run("note", source, id, "[]")
        assert (said.returncode, said.stderr) == (2, 'boss: the note is not a JSON object such as {"a": 1}\n')
        assert run("note", source, id, "{}", "--attempt", "7").returncode == 3
        run("give-back", source, id, "--delay", "0")
        assert '"attempt": 2, "lease": 1800, "note": {"page": 4}, "job": {}}' in run("take", source).stdout

    def test_boss_work_hands_it_to_the_command(
        self, module_boss: BossProcess, client: httpx.Client, source: str
    ) -> None:
        id = submit(client, source)
        run = Boss(module_boss.url)
        run.environment["BOSS_NOTE"] = "of another job"
        script = """
            [ "$BOSS_NOTE" ] && echo "{\\"got\\": $BOSS_NOTE}" && exit
            "$1" note "$BOSS_SOURCE" "$BOSS_JOB_ID" '{"page": "d\u00e9j\u00e0"}' --attempt "$BOSS_ATTEMPT" && exit 1"""
        program = str(PROGRAM)
        run("work", source, "--once", "--", "sh", "-c", script, "x", program)
        assert record(client, id)["note"] == {"page": "d\u00e9j\u00e0"}
        client.put(f"/job/available/{source}/{id}?delay=0")
        run("work", source, "--once", "--", "sh", "-c", script, "x", program)
        assert record(client, id)["result"] == {"got": {"page": "d\u00e9j\u00e0"}}
