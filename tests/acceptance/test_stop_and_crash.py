"""Stops and crashes: everything that was answered is there afterwards, without anybody's help."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import httpx
import pytest

from tests.helpers.servers import PATIENCE, BossProcess, alive, boss_running, postmaster, until
from tests.helpers.wire import Wire

pytestmark = pytest.mark.slow


def wait_until_gone(pid: int) -> None:
    until(lambda: not alive(pid))


def test_data_is_kept_across_restarts_and_postgres_stops_cleanly(data: Path) -> None:
    with boss_running("--data", str(data)) as boss:
        assert httpx.post(f"{boss.url}/job/available/freg/a", content='{"a": 1}').status_code == 201
        assert boss.terminate() == 0
        assert "Boss has stopped" in boss.log
    assert not (data / "postgresql" / "postmaster.pid").exists()
    assert "database system is shut down" in (data / "postgresql.log").read_text().splitlines()[-1]
    with boss_running("--data", str(data)) as boss:
        assert httpx.get(f"{boss.url}/job/available/freg").json() == {"id": "a", "source": "freg", "job": {"a": 1}}
    assert "not properly shut down" not in (data / "postgresql.log").read_text()


def test_sigterm_answers_requests_under_way_and_refuses_new_ones(database: str) -> None:
    with boss_running("--database", database) as boss, contextlib.ExitStack() as wires:
        under_way = [wires.enter_context(Wire(boss.port)) for _ in range(10)]
        kept = [wires.enter_context(Wire(boss.port)) for _ in range(10)]
        for number, wire in enumerate(under_way):
            # Half a body: the request is under way until the rest has come.
            wire.request("POST", f"/job/available/freg/{number}", "Content-Length: 7", body=b'{"a"')
        for wire in kept:
            assert wire.request("GET", "/job").reply().status == 200
        boss.process.terminate()
        boss.wait_for_log("draining")
        for wire in kept:
            reply = wire.request("GET", "/job").reply()
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
            assert reply.headers["content-type"] == "application/problem+json"
        answer = httpx.post(f"{boss.url}/job/available/freg", content="{}")
        assert answer.status_code == 503
        for wire in under_way:
            assert wire.send(b":1}").reply().status == 201
        assert boss.process.wait(PATIENCE) == 0
    with boss_running("--database", database) as boss:
        assert httpx.get(f"{boss.url}/job").json()["available"] == {"freg": 10}


@pytest.mark.long
def test_a_client_that_never_finishes_does_not_keep_boss_from_stopping(database: str) -> None:
    with boss_running("--database", database) as boss, Wire(boss.port) as wire:
        wire.request("POST", "/job/available/freg", "Content-Length: 7", body=b'{"a"')
        httpx.get(f"{boss.url}/job")
        assert boss.terminate() == 0


async def _load(boss: BossProcess, submitted: set[str], done: set[str], clients: int) -> None:
    """Submit, take and finish until the server goes away; note what was answered."""

    async def work(session: aiohttp.ClientSession, name: int) -> None:
        with contextlib.suppress(aiohttp.ClientError):
            for number in range(100_000):
                id = f"{name}-{number}"
                async with session.post(f"/job/available/freg/{id}", data="{}") as answer:
                    if answer.status != 201:
                        return
                    submitted.add(id)
                async with session.get("/job/available") as answer:
                    if answer.status != 200:
                        continue
                    taken = (await answer.json())["id"]
                async with session.post(f"/job/done/freg/{taken}") as answer:
                    if answer.status == 200:
                        done.add(taken)

    async with aiohttp.ClientSession(boss.url, connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(work(session, name) for name in range(clients)))


@pytest.mark.parametrize("victims", ["boss and postgres", "boss", "postgres and boss"])
def test_after_kill_9_under_load_every_answered_submit_and_done_is_there(data: Path, victims: str) -> None:
    submitted: set[str] = set()
    done: set[str] = set()

    async def load_and_kill(boss: BossProcess) -> None:
        load = asyncio.create_task(_load(boss, submitted, done, clients=32))
        while len(done) < 1000:
            await asyncio.sleep(0.01)
            assert not load.done()
        if victims == "postgres and boss":
            os.kill(postmaster(data), signal.SIGKILL)
        boss.process.kill()
        if victims == "boss and postgres":
            os.kill(postmaster(data), signal.SIGKILL)
        await load
        await asyncio.to_thread(boss.process.wait)

    boss = BossProcess("--data", str(data)).wait_until_ready()
    asyncio.run(load_and_kill(boss))
    boss.close()
    with boss_running("--data", str(data)) as boss, boss.client() as client:
        there: dict[str, str] = {}
        address = "/jobs?limit=1000"
        while address:
            page = client.get(address).json()
            there |= {record["id"]: record["state"] for record in page["jobs"]}
            address = page["next"]
        assert submitted <= set(there)
        assert {id for id in done if there[id] != "done"} == set()
        # What was under way may or may not have been done, but nothing else: one request a client.
        assert len(set(there) - submitted) <= 32
        assert sum(state == "done" for state in there.values()) <= len(done) + 32
        tree = client.get("/job").json()
        assert {state: sum(counts.values()) for state, counts in tree.items()} == {
            state: sum(each == state for each in there.values()) for state in ("available", "active", "done")
        }


def test_when_only_its_postgres_dies_boss_starts_it_again(data: Path) -> None:
    with boss_running("--data", str(data)) as boss, boss.client() as client:
        assert client.post("/job/available/freg/a", content="{}").status_code == 201
        pid = postmaster(data)
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid)
        away = client.get("/job")
        assert (away.status_code, away.headers.get("retry-after")) in ((503, "1"), (200, None))
        until(lambda: client.get("/job").status_code == 200)
        assert client.get("/job/available/freg").json()["id"] == "a"
        assert "Traceback" not in boss.log


def test_two_boss_in_one_folder(data: Path) -> None:
    with boss_running("--data", str(data)) as boss:
        second = BossProcess("--data", str(data))
        assert second.process.wait(PATIENCE) == 1
        assert f"another Boss (process {boss.process.pid}) serves from" in second.log
        assert "Traceback" not in second.log
        second.close()
        assert httpx.get(f"{boss.url}/job").status_code == 200


def test_a_folder_of_another_major_version(data: Path) -> None:
    (data / "postgresql").mkdir(parents=True)
    (data / "postgresql" / "PG_VERSION").write_text("16\n")
    boss = BossProcess("--data", str(data))
    assert boss.process.wait(PATIENCE) == 1
    assert "holds the data of PostgreSQL 16; this Boss comes with 18" in boss.log
    assert "Traceback" not in boss.log
    boss.close()


def test_a_stale_pid_file_whose_number_is_somebody_elses(data: Path) -> None:
    with boss_running("--data", str(data)):
        pass
    lines = ["1", str(data / "postgresql"), "1", "5432", "", "", "0 0", "ready"]
    (data / "postgresql" / "postmaster.pid").write_text("\n".join(lines))
    with boss_running("--data", str(data)) as boss:
        assert httpx.get(f"{boss.url}/job").status_code == 200


def test_a_port_that_is_taken(database: str) -> None:
    with boss_running("--database", database) as boss:
        second = BossProcess("--database", database, port=boss.port)
        assert second.process.wait(PATIENCE) == 1
        assert f"cannot listen on 127.0.0.1 port {boss.port}" in second.log
        assert "Traceback" not in second.log
        second.close()


def test_no_database_there() -> None:
    boss = BossProcess("--database", "postgresql://nobody@127.0.0.1:1/boss")
    assert boss.process.wait(PATIENCE) == 75
    assert boss.log.startswith("boss: PostgreSQL cannot be reached")
    assert len(boss.log.splitlines()) == 1
    boss.close()


@pytest.mark.parametrize("command", [["boss"], ["python", "-m", "boss"]])
def test_both_commands_have_help(command: list[str]) -> None:
    program = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
    shown = subprocess.run([*program, "serve", "--help"], capture_output=True, text=True, check=True).stdout
    for flag in (
        "--host",
        "--port",
        "--database",
        "--data",
        "--max-document",
        "--lease",
        "--keep-done",
        "BOSS_DATABASE",
        "Example: boss serve",
    ):
        assert flag in shown
