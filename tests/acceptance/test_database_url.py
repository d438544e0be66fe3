"""Where the database's URL comes from, and that its password is not to be seen."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.helpers.servers import PATIENCE, BossProcess, free_port, until

pytestmark = pytest.mark.slow

SECRET = "hunter2"


def started(port: int, *flags: str, **environment: str) -> "subprocess.Popen[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BOSS_")}
    return subprocess.Popen(
        [sys.executable, "-m", "boss", "serve", "--port", str(port), *flags],
        stderr=subprocess.PIPE,
        text=True,
        env={**clean, **environment},
    )


def with_password(url: str) -> str:
    return url.replace("boss@", f"boss:{SECRET}@")


@pytest.mark.parametrize("way", ["environment", "file", "file in the environment"])
def test_it_is_not_in_the_command_line(database: str, tmp_path: Path, way: str) -> None:
    file = tmp_path / "url"
    file.write_text(f"{with_password(database)}\n")
    flags = ["--database-file", str(file)] if way == "file" else []
    environment = {
        "environment": {"BOSS_DATABASE": with_password(database)},
        "file in the environment": {"BOSS_DATABASE_FILE": str(file)},
    }.get(way, {})
    boss = started(free_port(), *flags, **environment)
    try:
        assert boss.stderr
        said = ""
        while "Boss serves on" not in said:
            line = boss.stderr.readline()
            assert line, said
            said += line
        assert SECRET not in " ".join(psutil.Process(boss.pid).cmdline())
        assert SECRET not in said
    finally:
        boss.terminate()
        boss.communicate(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "should hold the database's URL, in one line"),
        (f"postgresql://a:{SECRET}@b/c\npostgresql://d/e", "should hold the database's URL, in one line"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_is_no_use(tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "url"
    if text is not None:
        file.write_text(text)
    _, errors = (boss := started(1, BOSS_DATABASE_FILE=str(file))).communicate(timeout=PATIENCE)
    assert boss.returncode == 2
    assert said in errors
    assert SECRET not in errors
    assert len(errors.splitlines()) == 1


def test_it_is_said_once(tmp_path: Path) -> None:
    boss = started(1, "--database", "postgresql://a/b", BOSS_DATABASE_FILE=str(tmp_path / "url"))
    _, errors = boss.communicate(timeout=PATIENCE)
    assert boss.returncode == 2
    assert "choose one" in errors


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://boss:hun#{SECRET}@127.0.0.1:1/boss",
        f"postgresql://boss:12/{SECRET}@127.0.0.1:1/boss",
        f"postgresql://boss:12?{SECRET}@127.0.0.1:1/boss",
        f"postgresql://boss:12%{SECRET}@127.0.0.1:1/boss",
        f"postgresql://boss:12@{SECRET}@127.0.0.1:1/boss",
        f"postgresql://boss:{SECRET}@127.0.0.1:port/boss",
        f"postgresql://boss:{SECRET}@127.0.0.1:123456/boss",
        f"postgresql://boss:{SECRET}@127.0.0.1:1/boss?sslmode=sometimes",
        f"postgresql://boss:{SECRET}@127.0.0.1:1,127.0.0.1:2/boss?target_session_attrs=sometimes",
        f"postgresql://boss:{SECRET}@127.0.0.1:1/boss?sslmode=verify-full&sslrootcert=/nowhere",
        f"postgresql://boss@127.0.0.1:1/boss?password={SECRET}",
        f"postgresql://boss:{SECRET}@nowhere.invalid/boss",
        f"boss:{SECRET}@127.0.0.1/boss",
        f"host=127.0.0.1 password={SECRET}",
    ],
)
def test_no_message_has_the_password(url: str) -> None:
    boss = BossProcess("--database", url)
    until(lambda: boss.process.poll() is not None)
    said = boss.log
    boss.close()
    assert boss.process.returncode == (2 if "cannot be understood" in said else 75)
    assert SECRET not in said
    assert said.startswith("boss: ")
    assert len(said.splitlines()) == 1, said
