"""boss redo, boss stop and boss delete with filters, and the Python client's functions for the same."""

from datetime import datetime
from typing import Any

import httpx
import pytest

from boss.client.async_client import AsyncClient
from boss.client.sync_client import Client
from boss.errors import NotThere, SourceInUse, WrongAttempt
from tests.helpers.commands import Boss
from tests.helpers.jobs import record, take
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def boss(module_boss: BossProcess) -> Boss:
    return Boss(module_boss.url)


def failed(client: httpx.Client, source: str, error: str = "No disk") -> str:
    id = submit(client, source)
    take(client, source)
    client.post(f"/job/done/{source}/{id}?outcome=failed", json={"error": error})
    return id


def states(client: httpx.Client, *ids: str) -> list[Any]:
    return [record(client, id)["state"] for id in ids]


def test_redo_one(boss: Boss, client: httpx.Client, source: str) -> None:
    id = failed(client, source)
    assert boss("redo", source, id).returncode == 0
    assert states(client, id) == ["available"]
    said = boss("redo", source, id)
    assert (said.returncode, said.stdout) == (3, "")
    assert f"it is at /job/available/{source}/{id}" in said.stderr
    shown = boss("show", id).stdout
    assert "failed" in shown
    assert ": No disk" in shown
    take(client, source)
    client.post(f"/job/done/{source}/{id}")
    assert boss("redo", source, id, "-", stdin='{"n": 2}').returncode == 0
    assert record(client, id)["job"] == {"n": 2}


def test_redo_many_asks_with_the_number(boss: Boss, client: httpx.Client, source: str) -> None:
    ids = [failed(client, source), failed(client, source), failed(client, source, "no route")]
    words = ("redo", "--source", source, "--outcome", "failed", "--reason", "no disk")
    said = boss(*words, stdin="n\n")
    assert (said.returncode, said.stdout) == (1, f"Redo 2 jobs of {source}? [y/N]: ")
    assert states(client, *ids) == ["done"] * 3
    assert boss(*words, stdin="y\n").stdout.endswith("redone 2\n")
    assert states(client, *ids) == ["available", "available", "done"]
    assert boss(*words, "--yes").stdout == "redone 0\n"
    assert boss("redo", "--source", source, "--until", "2026-01-01T00:00:00Z").stdout == "redone 0\n"
    assert boss("redo", "--source", f"{source}-no", "--yes").returncode == 3


def test_stop_those_of_a_state_or_a_time(boss: Boss, client: httpx.Client, source: str) -> None:
    ids = [submit(client, source) for _ in range(4)]
    take(client, source)
    since, until = (record(client, id)["submitted"] for id in ids[2:])
    said = boss("stop", "--source", source, "--since", since, "--until", until, stdin="y\n")
    assert said.stdout == f"Stop 1 job of {source}? [y/N]: stopped 1\n"
    assert boss("stop", "--source", source, "--state", "available", "--yes", "--reason", "late").stdout == "stopped 2\n"
    assert states(client, *ids) == ["active", "done", "done", "done"]
    assert record(client, ids[1])["result"] == {"reason": "late"}
    assert boss("stop", "--source", source, "--state", "done").returncode == 2


def test_delete(boss: Boss, client: httpx.Client, source: str) -> None:
    ids = [failed(client, source), failed(client, source), failed(client, source, "no route")]
    said = boss("delete", source, ids[2], stdin="n\n")
    assert (said.returncode, said.stdout) == (1, f"Delete {ids[2]} of {source}? [y/N]: ")
    words = ("delete", "--source", source, "--reason", "no disk")
    assert boss(*words, stdin="n\n").stdout == f"Delete 2 jobs of {source}? [y/N]: "
    assert boss(*words, "--yes").stdout == "deleted 2\n"
    assert boss("source", source, "--delete").returncode == 1
    assert boss("delete", source, ids[2], "--yes").returncode == 0
    assert boss("delete", source, ids[2], "--yes").returncode == 3
    assert boss("source", source, "--delete").returncode == 0
    assert source not in boss("source").stdout
    assert "deleted a source" in boss("audit").stdout


@pytest.mark.parametrize(
    "words",
    [
        ["redo"],
        ["redo", "freg"],
        ["redo", "freg", "monday", "--source", "freg"],
        ["redo", "freg", "monday", "--outcome", "failed"],
        ["delete"],
        ["delete", "freg", "monday", "--reason", "x"],
        ["stop", "freg", "monday", "--since", "2026-01-01T00:00:00Z"],
        ["source", "freg", "--delete", "--paused"],
        ["source", "--delete"],
    ],
)
def test_what_makes_no_sense_is_refused(boss: Boss, words: list[str]) -> None:
    assert boss(*words).returncode == 2


def test_the_client(client: httpx.Client, module_boss: BossProcess, source: str) -> None:
    ids = [failed(client, source), failed(client, source, "no route")]
    with Client(module_boss.url) as boss:
        with pytest.raises(WrongAttempt):
            boss.redo(source, ids[0], attempt=2)
        boss.redo(source, ids[0], {"n": 2}, attempt=1)
        with pytest.raises(NotThere):
            boss.redo(source, ids[0])
        assert record(client, ids[0])["job"] == {"n": 2}
        assert boss.redo_many(source, outcome="failed", dry_run=True) == (1, False)
        assert boss.redo_many(source, outcome="failed", reason="ROUTE") == (1, False)
        since = datetime.fromisoformat(record(client, ids[1])["submitted"])
        assert boss.stop_many(source, "available", "late", since=since, dry_run=True) == (1, False)
        assert boss.stop_many(source, "available", "late", since=since) == (1, False)
        assert record(client, ids[1])["result"] == {"reason": "late"}
        take(client, source)
        assert boss.stop_all(source, "all wrong") == 1
        with pytest.raises(SourceInUse):
            boss.delete_source(source)
        assert boss.delete_many(source, reason="late") == (1, False)
        boss.delete(source, ids[0])
        with pytest.raises(NotThere):
            boss.delete(source, ids[0])
        boss.delete_source(source)


async def test_the_client_for_asyncio(client: httpx.Client, module_boss: BossProcess, source: str) -> None:
    id = failed(client, source)
    async with AsyncClient(module_boss.url) as boss:
        assert [job["id"] async for job in boss.jobs(source=source, outcome="failed", reason="disk")] == [id]
        assert await boss.redo_many(source, outcome="failed") == (1, False)
        assert await boss.stop_many(source, "available") == (1, False)
        assert await boss.delete_many(source, outcome="stopped") == (1, False)
