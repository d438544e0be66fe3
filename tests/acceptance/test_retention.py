"""Old done jobs are deleted: by the setting, or on request."""

import http.server
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.helpers.databases import run_in
from tests.helpers.requests import submit
from tests.helpers.servers import PATIENCE, BossProcess, boss_running, until

pytestmark = pytest.mark.slow


def prune(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("boss")
    return subprocess.run([program, "prune", *arguments], capture_output=True, text=True, timeout=PATIENCE)


def test_the_setting_deletes_what_is_old_enough_and_nothing_else(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        done = [submit(client, "freg") for _ in range(5)]
        for id in done:
            client.post(f"/job/done/freg/{id}")
        kept = submit(client, "freg")
    # A thousandth of a second, as days.
    with boss_running("--database", database, "--keep-done", "0.00000001") as boss, boss.client() as client:
        until(lambda: not client.get("/job").json()["done"]["freg"])
        assert [job["id"] for job in client.get("/jobs").json()["jobs"]] == [kept]
        boss.wait_for_log("deleted 5 jobs")


def test_without_it_nothing_is_deleted(client: httpx.Client, source: str, module_boss: BossProcess) -> None:
    client.post(f"/job/done/{source}/{submit(client, source)}")
    module_boss.wait_for_log("Boss serves on")
    assert client.get("/job").json()["done"][source] == 1


def test_boss_prune_deletes_on_demand(client: httpx.Client, source: str, module_boss: BossProcess) -> None:
    prune("--older-than", "0", "--yes", "--url", module_boss.url)
    for _ in range(3):
        client.post(f"/job/done/{source}/{submit(client, source)}")
    asked = prune("--older-than", "1", "--url", module_boss.url)
    assert (asked.returncode, asked.stdout) == (0, "deleted 0\n")
    asked = prune("--older-than", "0", "--yes", "--url", module_boss.url)
    assert (asked.returncode, asked.stdout) == (0, "deleted 3\n")


def test_boss_prune_leaves_a_job_that_another_table_refers_to(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        first, *others = [submit(client, "freg") for _ in range(4)]
        run_in(database, f"CREATE TABLE mine (job varchar(64) REFERENCES job); INSERT INTO mine VALUES ('{first}')")
        for id in (first, *others):
            client.post(f"/job/done/freg/{id}")
        asked = prune("--older-than", "0", "--yes", "--url", boss.url)
        assert (asked.returncode, asked.stdout) == (0, "deleted 3\n")
        assert [job["id"] for job in client.get("/jobs").json()["jobs"]] == [first]
        assert f"1 done jobs cannot be pruned; the first is {first}: " in boss.log


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "missing option '--older-than'"),
        (("--older-than", "old"), 2, "invalid value"),
        (("--older-than", "-1"), 2, "invalid value"),
        (
            ("--older-than", "1", "--url", "http://127.0.0.1:1"),
            75,
            "boss: no Boss answers at http://127.0.0.1:1: Connection refused. Is it running there?",
        ),
        (
            ("--older-than", "1", "--url", "nonsense"),
            2,
            "boss: 'nonsense' is no URL; it should look like http://127.0.0.1:8080",
        ),
        (("--older-than", "1", "--url", "http://a b"), 2, "boss: 'http://a b' is no URL; "),
    ],
)
def test_mistakes_get_one_line(arguments: tuple[str, ...], code: int, says: str) -> None:
    asked = prune(*arguments)
    assert asked.returncode == code
    assert says in asked.stderr
    assert "Traceback" not in asked.stderr


def test_what_is_no_boss_is_told_apart() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asked = prune("--older-than", "1", "--url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert asked.returncode == 1
    assert "answers 501. Is it a Boss?" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1
    assert asked.stdout == ""
