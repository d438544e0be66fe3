"""Messages of boss serve and boss migrate about their data and their failures: words, and no errno."""

from pathlib import Path

import pytest

from tests.helpers.certificates import certificate
from tests.helpers.commands import Boss
from tests.helpers.servers import BossProcess, boss_running, free_port

pytestmark = pytest.mark.slow


def test_where_the_data_is(data: Path, database: str) -> None:
    with boss_running("--data", str(data)) as boss:
        boss.wait_for_log(f"its data is in {data.resolve()} (--data or BOSS_DATA say where)")
    with boss_running("--database", database) as boss:
        assert "its data is in" not in boss.log
    said = " ".join(Boss("")("serve", "--help").stdout.split())
    assert "--data DIR Without --database: the folder of the embedded PostgreSQL, which has all the data" in said
    assert "[default: ~/.local/share/boss, for root /var/lib/boss]" in said


@pytest.mark.parametrize("below", ["", "/folder", "/folder/in/it"])
def test_data_that_is_a_file(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.touch()
    said = Boss("")("serve", "--data", f"{file}{below}", "--port", str(free_port()))
    assert (said.returncode, said.stderr) == (2, f"boss: {file} is no folder; name a folder with --data\n")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://127.0.0.1:1/boss", "PostgreSQL cannot be reached: Connection refused. Is the URL right"),
        ("postgresql://localhost:1/boss", "Connection refused"),
        (
            "postgresql://127.0.0.1:1,127.0.0.1:2/boss",
            "127.0.0.1:1: Connection refused; 127.0.0.1:2: Connection",
        ),
        ("postgresql://no-such-host.invalid/boss", "PostgreSQL cannot be reached: Name or service not known."),
        ("postgresql:///boss?host=/nowhere", "No such file or directory"),
        (
            "postgresql://127.0.0.1/boss?target_session_attrs=banana",
            "(target_session_attrs takes any, primary, standby, read-write, read-only, prefer-standby)",
        ),
        ("postgresql://127.0.0.1/boss?sslmode=banana", "`sslmode` parameter must be one of: disable, allow"),
    ],
)
def test_a_database_that_is_not_there(url: str, says: str) -> None:
    for command in (["migrate"], ["serve", "--port", str(free_port())]):
        boss = Boss("")
        boss.environment["BOSS_DATABASE"] = url
        said = boss(*command)
        assert says in said.stderr
        assert "Errno" not in said.stderr
        assert "Connect call failed" not in said.stderr
        assert "object at" not in said.stderr
        code = 2 if "URL cannot be understood" in said.stderr else 75
        assert (said.returncode, said.stderr.count("\n")) == (code, 1)


def test_a_port_that_is_taken(module_boss: BossProcess, database: str) -> None:
    said = Boss("")("serve", "--database", database, "--port", str(module_boss.port), "--quiet")
    assert said.stderr.splitlines()[-1] == (
        f"boss: cannot listen on 127.0.0.1 port {module_boss.port}: Address already in use; "
        "choose another with --host or --port"
    )


def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    said = Boss("")("serve", "--tls-cert", f"{tmp_path}/cert.pem", "--tls-key", f"{tmp_path}/key.pem")
    assert f"file '{tmp_path}/cert.pem' does not exist (boss serve --help says more)" in said.stderr
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_certificate_is_read_before_the_database_starts(data: Path, tmp_path: Path, workers: str) -> None:
    cert, key = certificate(tmp_path, "first")
    other = tmp_path / "other"
    other.mkdir()
    _, other_key = certificate(other, "second")
    empty = tmp_path / "empty.pem"
    empty.touch()
    for tls_cert, tls_key, says in (
        (key, cert, f"{cert} has no private key (PEM); --tls-cert and --tls-key are swapped"),
        (cert, cert, f"{cert} has no private key (PEM)"),
        (empty, key, f"{empty} has no certificate (PEM)"),
        (cert, other_key, f"the key in {other_key} is not the key of the first certificate in {cert}"),
    ):
        flags = ("--tls-cert", str(tls_cert), "--tls-key", str(tls_key), "--workers", workers)
        said = Boss("")("serve", "--data", str(data), "--port", str(free_port()), *flags)
        assert (said.returncode, said.stderr) == (2, f"boss: {says}\n")
    assert not data.exists()


def test_it_is_told_once_who_is_served(database: str) -> None:
    with boss_running("--database", database, "--workers", "2") as boss:
        assert boss.log.count("there are no tokens yet, so this machine, and no other, may do everything") == 1
