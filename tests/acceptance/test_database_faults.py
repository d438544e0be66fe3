"""What happens to the database: frozen, locked, full, out of connections, behind a pooler. Each for real.

While it lasts every request gets a clear answer, and soon; afterwards all goes on by itself, and nothing is lost.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import httpx
import psutil
import pytest

from tests.helpers.faults import every_kind, faulty
from tests.helpers.postgres import MOST_CONNECTIONS, PostgresServer
from tests.helpers.requests import assert_problem, submit, wait_for_job
from tests.helpers.servers import BossProcess, boss_running, free_port, until

pytestmark = pytest.mark.slow

# Each request is answered within ten seconds, whatever it waits for; the rest is for a busy machine.
SOON = 15


def ask_all(boss: BossProcess, requests: list[tuple[str, str, str | None]]) -> list[httpx.Response]:
    """All of them at once."""

    def ask(request: tuple[str, str, str | None]) -> httpx.Response:
        method, path, body = request
        return httpx.request(method, f"{boss.url}{path}", content=body, timeout=60)

    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(ask, requests))


def assert_says_that_it_is_away(answer: httpx.Response) -> None:
    assert answer.headers["retry-after"] == "1"
    if answer.request.method != "HEAD":
        assert_problem(answer, 503, "atabase is away; send the request again")
    assert answer.status_code == 503


def memory(boss: BossProcess) -> float:
    """In MiB."""
    return float(psutil.Process(boss.process.pid).memory_info().rss / 1024 / 1024)


def sessions(server: PostgresServer) -> int:
    """How many PostgreSQL has for Boss."""
    return int(server.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'boss'"))


class TestFrozen:
    @pytest.mark.long
    @pytest.mark.parametrize("fault", ["frozen", "locked"])
    def test_everybody_is_told_and_it_goes_on(self, server: PostgresServer, fault: str) -> None:
        with boss_running("--database", server.url) as boss, boss.client() as client, ThreadPoolExecutor(2) as threads:
            submit(client, "freg/kept")
            submit(client, "freg/held")
            client.post("/job/active/freg/held?lease=600")
            waits = threads.submit(wait_for_job, f"{boss.url}/job/available/waited?wait=50")
            until(lambda: "boss_waiting_takers 1.0" in client.get("/metrics").text)
            time.sleep(1)  # it has looked, and sleeps; who has not is told like all others
            with faulty(server, fault):
                started = time.monotonic()
                for answer in ask_all(boss, every_kind(boss)):
                    assert_says_that_it_is_away(answer)
                assert time.monotonic() - started < SOON
                assert client.get("/health/live").status_code == 200
                if fault == "frozen":
                    assert client.get("/health/ready").status_code == 503
                before = memory(boss)
                flood = [("POST", "/job/available/flood", '{"a": "%s"}' % ("x" * 10_000))] * 200
                for answer in ask_all(boss, [*every_kind(boss), *flood]):
                    assert_says_that_it_is_away(answer)
                assert time.monotonic() - started < 2 * SOON
                assert memory(boss) < before + 60
                if fault == "locked":
                    until(lambda: sessions(server) <= 11)  # its ten and the one that listens, and none it gave up
                assert not waits.done(), waits.result().text
            until(lambda: client.get("/job").status_code == 200)
            started = time.monotonic()
            until(lambda: client.head("/job/active/freg/held").status_code == 200)
            submit(client, "waited/at-last")
            assert waits.result().json()["id"] == "at-last"
            assert time.monotonic() - started < SOON
            everything = client.get("/jobs?limit=1000").json()["jobs"]
            assert {"kept", "held", "at-last"} <= {job["id"] for job in everything}
            assert boss.terminate() == 0
            assert '"level":"error"' not in boss.log


def test_no_connection_is_left_in_postgresql(server: PostgresServer) -> None:
    with boss_running("--database", server.url) as boss, boss.client() as client, asyncio.Runner() as runner:
        submit(client, "freg/kept")
        # Boss's own are dropped, and all there are are taken.
        taken: list[asyncpg.Connection[asyncpg.Record]] = []
        while len(taken) < MOST_CONNECTIONS:
            try:
                taken.append(runner.run(asyncpg.connect(server.url)))
            except asyncpg.TooManyConnectionsError:
                ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'boss'"
                runner.run(taken[0].execute(ended))
        for answer in ask_all(boss, every_kind(boss)):
            assert_says_that_it_is_away(answer)
        for connection in taken:
            runner.run(connection.close())
        until(lambda: client.get("/job").status_code == 200)
        assert client.get("/job/available/freg").json()["id"] == "kept"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a small file system")
def test_a_full_disk(folder: Path) -> None:
    small = folder / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    server = None
    try:
        server = PostgresServer.new(small / "server", max_wal_size="32MB", min_wal_size="32MB")
        with boss_running("--database", server.url) as boss, boss.client() as client:
            submit(client, "freg/kept")
            ballast = small / "server" / "ballast"
            stored = fill_up(client, ballast, small)
            refused = client.post("/job/available/freg", content=BIG)
            assert_says_that_it_is_away(refused)
            # What was answered is there, and can be seen.
            ballast.unlink()
            until(lambda: restarted(server) and client.post("/job/available/freg", content="{}").status_code == 201)
            listed = client.get("/job").json()
            assert listed["available"]["big"] == stored
            assert client.get("/job/available/freg").json()["id"] == "kept"
    finally:
        if server:
            server.close()
        subprocess.run(["umount", "--lazy", str(small)], check=True)


# What does not shrink when it is compressed.
BIG = json.dumps({"a": random.Random(1).randbytes(150_000).hex()})


def fill_up(client: httpx.Client, ballast: Path, disk: Path) -> int:
    """Until a submit fails; return how many did not."""
    free = shutil.disk_usage(disk).free
    with ballast.open("wb") as file:
        file.write(b"x" * max(0, free - 4 * 1024 * 1024))
    stored = 0
    while stored < 500:
        answer = client.post("/job/available/big", content=BIG)
        if answer.status_code != 201:
            assert_says_that_it_is_away(answer)
            return stored
        stored += 1
    raise AssertionError("the disk was never full")


def restarted(server: PostgresServer) -> bool:
    """PostgreSQL ends when it cannot write its log; whoever runs it starts it again."""
    if not server.processes():
        server.start()
    return True


# What Boss's message says to ignore, and to set for the role instead; the rest is about a socket that is not Boss's.
FOR_THE_ROLE = {
    "jit": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
    "enable_incremental_sort": "off",
    "plan_cache_mode": "force_generic_plan",
    "default_transaction_isolation": "'read committed'",
    "lock_timeout": "'9s'",
    "statement_timeout": "'10s'",
    "idle_in_transaction_session_timeout": "'5s'",
    "idle_session_timeout": "0",
}
SOCKET = "tcp_user_timeout,tcp_keepalives_idle,tcp_keepalives_interval,tcp_keepalives_count"
IGNORED = f"ignore_startup_parameters = {','.join(FOR_THE_ROLE)},{SOCKET}\n"


class TestPgBouncer:
    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        if not shutil.which("pgbouncer"):
            pytest.skip("pgbouncer (Debian's package) is not installed here")

    def test_between_transactions_boss_will_not_start(self, server: PostgresServer, folder: Path) -> None:
        for more in ("", IGNORED):
            with pgbouncer(server, folder, "transaction", more) as url:
                boss = BossProcess("--database", url)
                assert boss.process.wait(60) == 1
                said = boss.log
                boss.close()
            assert "a pooler such as PgBouncer" in said, said
            assert "PostgreSQL's own address" in said
            assert IGNORED.strip() in said
            assert "Traceback" not in said

    def test_a_session_each_is_as_good_as_none_between(self, server: PostgresServer, folder: Path) -> None:
        for name, value in FOR_THE_ROLE.items():
            server.sql(f"ALTER ROLE boss SET {name} = {value}")
        with (
            pgbouncer(server, folder, "session", IGNORED) as url,
            boss_running("--database", url) as boss,
            boss.client() as client,
            ThreadPoolExecutor(1) as thread,
        ):
            waits = thread.submit(client.get, "/job/available/freg?wait=30", timeout=60)
            until(lambda: "boss_waiting_takers 1.0" in httpx.get(f"{boss.url}/metrics").text)
            id = httpx.post(f"{boss.url}/job/available/freg", content="{}").json()["id"]
            assert waits.result().json()["id"] == id
            assert client.post(f"/job/done/freg/{id}").status_code == 200


@contextlib.contextmanager
def pgbouncer(server: PostgresServer, folder: Path, mode: str, more: str) -> Iterator[str]:
    """The URL of a PgBouncer before the server."""
    port, place = free_port(), folder / f"pgbouncer-{free_port()}"
    place.mkdir()
    place.chmod(0o777)
    config = place / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = any\nauth_file = {place}/users\npool_mode = {mode}\n"
        f"unix_socket_dir =\nmax_client_conn = 100\ndefault_pool_size = 25\n{more}"
        f"[databases]\nboss = host=127.0.0.1 port={server.port} user=boss dbname=boss\n"
    )
    (place / "users").write_text('"boss" ""\n')
    command = ["pgbouncer", *(["--user", "nobody"] if os.geteuid() == 0 else []), str(config)]
    log = (place / "log").open("w")
    with log:
        running = subprocess.Popen(command, stdout=log, stderr=log)

    def answers() -> bool:
        assert running.poll() is None, (place / "log").read_text()
        return bool(re.search("process up", (place / "log").read_text()))

    try:
        until(answers)
        yield f"postgresql://boss@127.0.0.1:{port}/boss"
    finally:
        running.terminate()
        running.wait(30)
