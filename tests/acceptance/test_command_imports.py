"""Modules that a command must not import: that would take most of its time. bench/commands.py measures the rest."""

import subprocess
import sys

import httpx
import pytest

from tests.helpers.requests import submit
from tests.helpers.servers import PATIENCE, BossProcess

# What is for a converter, a server, a table or a progress bar.
_SLOW = {
    "aiohttp",
    "anyio",
    "asyncio",
    "yarl",
    "rich",
    "ulid",
    "pydantic",
    "orjson",
    "httptools",
    "structlog",
    "logging",
}


def imported(url: str, *words: str) -> tuple[int, set[str]]:
    """The exit code of a command, and the packages that it imported."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "boss", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={"BOSS_URL": url, "PATH": "/usr/bin:/bin"},
        input="{}",
    )
    lines = [line for line in ran.stderr.splitlines() if line.startswith("import time:")]
    return ran.returncode, {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check", "SOURCE", "ID"], 0),
        (["give-back", "SOURCE", "ID"], 0),
        (["done", "SOURCE", "ID", "{}"], 0),
        (["stop", "SOURCE", "ID"], 0),
        (["submit", "SOURCE", "SOURCE-another"], 0),
        (["take", "SOURCE-nothing"], 3),
        (["tree"], 0),
        (["jobs", "--source", "SOURCE", "--json"], 0),
        (["--help"], 0),
        (["check", "--help"], 0),
        (["check"], 2),
        (["no-such-command"], 2),
    ],
)
def test_a_command_starts_without_what_it_does_not_need(
    module_boss: BossProcess, client: httpx.Client, source: str, words: list[str], code: int
) -> None:
    id = submit(client, source)
    client.get(f"/job/available/{source}")
    given = [word.replace("SOURCE", source) if word != "ID" else id for word in words]
    ended, packages = imported(module_boss.url, *given)
    assert ended == code
    assert packages & _SLOW == set()
