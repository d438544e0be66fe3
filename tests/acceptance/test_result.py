"""Waiting for a result: `Client.result`, `boss submit --wait` and `boss show --wait`."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

import boss
from tests.helpers.commands import PROGRAM, Boss
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, boss_running, free_port, until
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow


@pytest.fixture
def command(module_boss: BossProcess) -> Boss:
    return Boss(module_boss.url)


@contextlib.contextmanager
def converting(client: httpx.Client, source: str, result: str, outcome: str = "completed") -> Iterator[None]:
    """Somebody takes one job of this source and ends it."""

    def convert() -> None:
        until(lambda: client.get("/job").json()["available"].get(source, 0) == 1)
        job = client.get(f"/job/available/{source}").json()
        client.post(f"/job/done/{source}/{job['id']}?outcome={outcome}", content=result)

    with ThreadPoolExecutor(1) as threads:
        work = threads.submit(convert)
        yield
        work.result()


class TestClient:
    def test_it_returns_the_result(self, module_boss: BossProcess, client: httpx.Client, source: str) -> None:
        with boss.Client(module_boss.url) as submitter, converting(client, source, '{"rows": 7}'):
            id = submitter.submit(source, {"n": 1})
            assert submitter.result(id) == {"rows": 7}
            assert submitter.find(id, wait=50)["outcome"] == "completed"

    async def test_async(self, module_boss: BossProcess, client: httpx.Client, source: str) -> None:
        async with boss.AsyncClient(module_boss.url) as submitter:
            with converting(client, source, ""):
                id = await submitter.submit(source, {})
                assert await submitter.result(id, wait=60) is None

    @pytest.mark.parametrize(
        ("outcome", "result", "says"),
        [
            ("failed", {"error": "no such file"}, "x-{} failed: no such file"),
            ("stopped", {"reason": "wrong file"}, "x-{} was stopped: wrong file"),
            ("failed", None, "x-{} failed"),
        ],
    )
    def test_a_job_that_does_not_complete(
        self, module_boss: BossProcess, client: httpx.Client, source: str, outcome: str, result: object, says: str
    ) -> None:
        id = submit(client, f"{source}/x-{source}")
        client.post(f"/job/done/{source}/{id}?outcome={outcome}", content=json.dumps(result) if result else "")
        with boss.Client(module_boss.url) as submitter, pytest.raises(boss.NotCompleted) as raised:
            submitter.result(id)
        assert str(raised.value) == says.format(source)
        assert (raised.value.outcome, raised.value.result) == (outcome, result)

    def test_it_gives_up_after_that_time(self, module_boss: BossProcess, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        with boss.Client(module_boss.url) as submitter:
            with pytest.raises(boss.NotDone, match=f"{id} is not done: it is available"):
                submitter.result(id, wait=0.5)
            with pytest.raises(boss.NotDone):
                submitter.result(id, wait=0)
            with pytest.raises(boss.NotThere):
                submitter.result("nothing")

    def test_it_goes_on_when_boss_restarts(self, database: str) -> None:
        port = free_port()
        with ThreadPoolExecutor(1) as threads, boss.Client(f"http://127.0.0.1:{port}", patience=60) as submitter:
            with boss_running("--database", database, port=port) as running:
                id = submitter.submit("freg", {})
                waits = threads.submit(submitter.result, id)
                until(lambda: "boss_waiting_for_end 1.0" in httpx.get(f"{running.url}/metrics").text)
                assert running.terminate() == 0
            with boss_running("--database", database, port=port) as running:
                httpx.post(f"{running.url}/job/done/freg/{id}", content='{"rows": 7}')
                assert waits.result() == {"rows": 7}


class TestCommands:
    def test_submit_prints_the_id_and_the_result(self, command: Boss, client: httpx.Client, source: str) -> None:
        with converting(client, source, '{"n": 12345678901234567890.5}'):
            said = command("submit", source, "--wait", stdin="{}")
        id, result = said.stdout.splitlines()
        assert (said.returncode, result) == (0, '{"n": 12345678901234567890.5}')
        shown = command("show", id, "--wait", "--json")
        assert json.loads(shown.stdout)["outcome"] == "completed"

    def test_a_job_that_fails_is_exit_code_1(self, command: Boss, client: httpx.Client, source: str) -> None:
        with converting(client, source, '{"error": "no such file"}', "failed"):
            said = command("submit", source, "x", "--wait", stdin="{}")
        assert said.returncode == 1
        assert said.stdout == 'x\n{"error": "no such file"}\n'
        assert said.stderr == "boss: x failed: no such file\n"

    def test_a_reason_of_many_lines_is_one(self, command: Boss, client: httpx.Client, source: str) -> None:
        with converting(client, source, '{"error": "Traceback:\\n  no\\tfile\\u001b[2J"}', "failed"):
            said = command("submit", source, f"{source}-x", "--wait", stdin="{}")
        assert said.stderr == f"boss: {source}-x failed: Traceback: no file\ufffd[2J\n"

    def test_many_are_not_waited_for(self, command: Boss, source: str) -> None:
        said = command("submit", source, "--lines", "--wait", stdin="{}\n")
        assert (said.returncode, said.stdout) == (2, "")
        assert "--wait is for one job" in said.stderr

    def test_show_waits_through_a_restart(self, database: str) -> None:
        port = free_port()
        with boss_running("--database", database, port=port) as running, running.client() as client:
            id = submit(client, "freg")
            show = subprocess.Popen(
                [PROGRAM, "show", id, "--wait", "--url", running.url], stdout=subprocess.PIPE, text=True
            )
            until(lambda: "boss_waiting_for_end 1.0" in client.get("/metrics").text)
            assert running.terminate() == 0
        with boss_running("--database", database, port=port) as running, running.client() as client:
            client.post(f"/job/done/freg/{id}")
            assert "done, completed" in show.communicate(timeout=60)[0]


class TestTokens:
    def test_a_token_that_is_revoked_meanwhile_gets_no_answer(self, database: str) -> None:
        with (
            boss_running("--database", database) as running,
            running.client() as root,
            ThreadPoolExecutor(1) as threads,
        ):
            root.headers["authorization"] = f"Bearer {create(root, 'root', 'admin')}"
            id = submit(root, "freg")
            token = create(root, "reader", "submitter")
            waits = threads.submit(
                httpx.get, f"{running.url}/jobs/{id}?wait=50", headers={"authorization": f"Bearer {token}"}, timeout=70
            )
            until(lambda: "boss_waiting_for_end 1.0" in root.get("/metrics").text)
            assert root.delete("/token/reader").status_code == 204
            root.post(f"/job/done/freg/{id}")
            assert waits.result().status_code == 401
            limited = create(root, "limited", "submitter", sources=["sirius"])
            answer = root.get(f"/jobs/{id}?wait=50", headers={"authorization": f"Bearer {limited}"}, timeout=20)
            assert answer.status_code == 404
