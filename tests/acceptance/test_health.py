"""Whether Boss lives, whether it can serve, and what `boss doctor` says."""

import json
import signal

import httpx
import pytest

from tests.helpers.commands import Boss
from tests.helpers.health import execute
from tests.helpers.postgres import PostgresServer
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import PATIENCE, boss_running, until
from tests.helpers.wire import Wire

pytestmark = pytest.mark.slow


def test_doctor_says_what_to_do(database: str) -> None:
    with boss_running("--database", database) as server, server.client() as client:
        boss = Boss(server.url)
        healthy = boss("doctor")
        assert (healthy.returncode, healthy.stderr) == (0, "")
        assert "well  oldest available job" in healthy.stdout
        id = submit(client, "freg")
        execute(database, "UPDATE job SET submitted_at = now() - interval '3 hours'")
        said = boss("doctor")
        assert said.returncode == 1
        assert "watch  oldest available job        3.0 h, of freg" in said.stdout
        assert "→ nobody works on freg: start a converter for it" in said.stdout
        client.get("/job/available")
        client.get(f"/job/active/freg/{id}")
        health = json.loads(boss("doctor", "--json").stdout)
        assert [finding["what"] for finding in health["findings"]] == [
            finding["what"] for finding in client.get("/health").json()["findings"]
        ]
        assert health["verdict"] == "well"
        assert_problem(client.get("/health?x=1"), 400, "'x' is not a parameter here")


class TestReady:
    def test_not_while_it_drains_and_yet_it_lives(self, database: str) -> None:
        with boss_running("--database", database) as boss, boss.client() as client, Wire(boss.port) as under_way:
            assert client.get("/health/ready").json() == {"ready": True}
            assert client.get("/health/live").json() == {"live": True}
            under_way.request("POST", "/job/available/freg", "Content-Length: 7", body=b'{"a"')
            client.get("/job")
            boss.process.terminate()
            boss.wait_for_log("draining")
            assert_problem(client.get("/health/ready"), 503, "shutting down")
            assert client.get("/health/live").json() == {"live": True}
            assert under_way.send(b":1}").reply().status == 201
            assert boss.process.wait(PATIENCE) == 0

    @pytest.mark.parametrize("frozen", [False, True])
    def test_not_while_the_database_is_away(self, server: PostgresServer, frozen: bool) -> None:
        with boss_running("--database", server.url) as boss, boss.client() as client:
            assert client.get("/health/ready").status_code == 200
            if frozen:
                server.signal(signal.SIGSTOP)
            else:
                server.kill()
            answer = client.get("/health/ready")
            assert client.get("/health/live").status_code == 200
            if frozen:
                server.signal(signal.SIGCONT)
            else:
                server.start()
            assert_problem(answer, 503, "database")
            assert answer.headers["retry-after"] == "1"
            until(lambda: httpx.get(f"{boss.url}/health/ready", timeout=30).status_code == 200)
