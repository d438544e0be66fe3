"""The embedded PostgreSQL: no other user can reach it, or become root through it, and its log has no secret."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psutil
import pytest

from boss.postgres.data_folder import SYSTEM_USER
from tests.helpers.postgres import PROGRAMS
from tests.helpers.servers import PATIENCE, BossProcess, alive, boss_running, cmdline, postmaster, until
from tests.helpers.starting import end_of

pytestmark = pytest.mark.slow

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
PLANTED = "planted by somebody else"
SECRET = "hunter2"


@pytest.fixture
def plain(data: Path) -> Path:
    """A data folder whose path is short, so that the socket is in it."""
    data.parent.chmod(0o711)
    return data.parent / "plain"


def sockets(data: Path) -> Path:
    return Path((data / "postgresql" / "postmaster.pid").read_text().splitlines()[4])


def owner() -> int:
    return pwd.getpwnam(SYSTEM_USER).pw_uid if os.geteuid() == 0 else os.geteuid()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


class TestSocket:
    @pytest.mark.parametrize("kind", ["short", "with a space", "long"])
    def test_is_out_of_everybodys_reach(self, data: Path, plain: Path, kind: str) -> None:
        folder = {"short": plain, "with a space": data, "long": plain / ("long" * 30)}[kind]
        with boss_running("--data", str(folder)) as boss:
            assert httpx.get(f"{boss.url}/job").status_code == 200
            where = sockets(folder)
            assert stat.S_ISDIR(where.lstat().st_mode)
            assert (where.lstat().st_uid, mode(where)) == (owner(), 0o700)
            [socket] = [each for each in where.glob(".s.PGSQL.*") if stat.S_ISSOCK(each.lstat().st_mode)]
            assert mode(socket) == 0o700
        if where != folder / "postgresql":
            assert not where.exists()

    @needs_root
    def test_no_link_leads_to_it(self, data: Path, tmp_path: Path) -> None:
        """Where an earlier Boss would have put it: a folder of a name that can be foreseen."""
        import hashlib

        database = data.resolve() / "postgresql"
        planted = Path("/tmp") / f"boss-{hashlib.sha256(os.fsencode(database)).hexdigest()[:16]}"
        target = Path("/tmp") / f"boss-target-{os.getpid()}"
        target.mkdir()
        try:
            os.chown(target, owner(), -1)  # as theirs, had they got the user to own it
            target.chmod(0o777)
            planted.symlink_to(target)
            with boss_running("--data", str(data)) as boss:
                assert httpx.get(f"{boss.url}/job").status_code == 200
                assert list(target.iterdir()) == []
        finally:
            planted.unlink()
            shutil.rmtree(target)

    @needs_root
    def test_another_user_cannot_connect(self, plain: Path) -> None:
        with boss_running("--data", str(plain)):
            nobody = pwd.getpwnam("nobody")
            done = subprocess.run(
                [str(PROGRAMS / "psql"), "-h", str(sockets(plain)), "-U", "boss", "-c", "SELECT 1", "boss"],
                user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], capture_output=True, text=True,
            )  # fmt: skip
            assert done.returncode != 0
            assert "Permission denied" in done.stderr


def test_its_environment_is_clean(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "OTEL_EXPORTER_OTLP_HEADERS", "LD_AUDIT_NOT", "HOME_OF"):
        monkeypatch.setenv(name, SECRET)
    with boss_running("--data", str(data)):
        first = psutil.Process(postmaster(data))
        for process in (first, *first.children(recursive=True)):
            around = Path(f"/proc/{process.pid}/environ").read_bytes()
            assert SECRET.encode() not in around
            names = {entry.split(b"=")[0].decode() for entry in around.split(b"\0") if entry}
            assert names <= {
                "PATH",
                "LC_ALL",
                "LANG",
                "PGDATA",
                "PG_GRANDPARENT_PID",
                "PGSYSCONFDIR",
                "PGLOCALEDIR",
                "PWD",
                "SHLVL",
                "_",
            }


class TestLog:
    def test_has_no_document_and_no_password(self, plain: Path) -> None:
        with boss_running("--data", str(plain)) as boss, boss.client() as client:
            secrets = [f'{{"{SECRET}": "\\u0000"}}', f'{{"a": "{SECRET}\\udead"}}', f'{{"{SECRET}": 1e999999}}']
            for document in secrets:
                assert client.post("/job/available/freg", content=document).status_code in (201, 400, 413)
                client.post("/job/available/freg/a", content="{}")
                client.post("/job/active/freg/a")
                client.post("/job/done/freg/a", content=document)
            for statement in (
                f"INSERT INTO job (id, source, document) VALUES ('a', 'a', '{{{SECRET}')",
                f"INSERT INTO job (id, source, document) VALUES ('a', 'a', '[]'), ('a', '{SECRET}', '[\"{SECRET}\"]')",
                f"INSERT INTO job (id, status, source, document) VALUES ('b', 'x', '{SECRET}', '[\"{SECRET}\"]')",
                f"ALTER ROLE nobody_at_all PASSWORD '{SECRET}'",
                f"DO $$ BEGIN RAISE EXCEPTION 'x' USING DETAIL = '{SECRET}'; END $$",
                f"PREPARE s (text) AS SELECT $1::jsonb; EXECUTE s ('{SECRET}')",
            ):
                command = [str(PROGRAMS / "psql"), "-h", str(sockets(plain)), "-U", "boss", "-c", statement, "boss"]
                assert subprocess.run(command, capture_output=True).returncode != 0
            kill_while_busy(client, plain)
        said = (plain / "postgresql.log").read_text()
        assert "violates" in said
        assert SECRET not in said

    @pytest.mark.parametrize("kind", ["new", "old"])
    def test_and_the_data_are_nobody_elses(self, plain: Path, kind: str) -> None:
        if kind == "old":
            # As an earlier Boss left them.
            with boss_running("--data", str(plain)):
                pass
            os.chown(plain, owner(), -1)
            plain.chmod(0o755)
            for name in ("boss.lock", "postgresql.log"):
                (plain / name).chmod(0o644)
        with boss_running("--data", str(plain)):
            assert plain.stat().st_uid == os.geteuid()
            assert mode(plain) & 0o027 == (0 if kind == "new" else 0o005)
            assert (plain / "postgresql").stat().st_uid == owner()
            assert mode(plain / "postgresql") == 0o700
            assert mode(plain / "postgresql.log") == mode(plain / "boss.lock") == 0o600
            assert (plain / "postgresql.log").stat().st_uid == owner()
            assert (plain / "boss.lock").stat().st_uid == os.geteuid()


def kill_while_busy(client: httpx.Client, data: Path) -> None:
    """A crash is told with the statement that was under way."""
    command = f"SELECT pg_sleep(60), '{SECRET}'"
    with subprocess.Popen(
        [str(PROGRAMS / "psql"), "-h", str(sockets(data)), "-U", "boss", "-c", command, "boss"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ):  # fmt: skip
        found: list[psutil.Process] = []

        def busy() -> bool:
            sessions = psutil.Process(postmaster(data)).children()
            found[:] = [each for each in sessions if "SELECT" in " ".join(cmdline(each))]
            return bool(found)

        until(busy)
        found[0].send_signal(signal.SIGKILL)
    until(lambda: "was terminated by signal 9" in (data / "postgresql.log").read_text())
    until(lambda: client.get("/job").status_code == 200)


class TestPlanted:
    @pytest.fixture
    def victim(self, tmp_path: Path) -> Iterator[Path]:
        """A file of root's that must stay as it is, and must not be shown."""
        victim = tmp_path / "victim"
        victim.write_text(PLANTED)
        victim.chmod(0o600)
        yield victim
        assert victim.read_text() == PLANTED
        assert (victim.stat().st_uid, mode(victim)) == (os.geteuid(), 0o600)

    @pytest.mark.parametrize("name", ["boss.lock", "postgresql.log"])
    @pytest.mark.parametrize("kind", ["link", "hard link", "folder", "fifo", "loose link"])
    def test_in_place_of_a_file(self, plain: Path, victim: Path, name: str, kind: str) -> None:
        with boss_running("--data", str(plain)):
            pass
        planted = plain / name
        planted.unlink()
        if kind == "link":
            planted.symlink_to(victim)
        elif kind == "loose link":
            planted.symlink_to(victim.parent / "new")
        elif kind == "hard link":
            try:
                planted.hardlink_to(victim)
            except OSError:
                pytest.skip("another file system")
        elif kind == "fifo":
            os.mkfifo(planted)
        else:
            planted.mkdir()
        said = end_of_data(plain)
        assert name in said
        assert "remove it" in said
        assert not (victim.parent / "new").exists()
        planted.rmdir() if kind == "folder" else planted.unlink()

    def test_in_place_of_the_database(self, plain: Path, victim: Path) -> None:
        plain.mkdir()
        (victim.parent / "PG_VERSION").write_text("18")
        (plain / "postgresql").symlink_to(victim.parent)
        assert "is a link" in end_of_data(plain)

    def test_the_version(self, plain: Path, victim: Path) -> None:
        with boss_running("--data", str(plain)):
            pass
        (plain / "postgresql" / "PG_VERSION").unlink()
        (plain / "postgresql" / "PG_VERSION").symlink_to(victim)
        assert PLANTED not in end_of_data(plain)

    @pytest.mark.parametrize("kind", ["link", "file", "folder"])
    def test_in_place_of_what_is_being_made(self, plain: Path, victim: Path, kind: str) -> None:
        plain.mkdir()
        planted = plain / "postgresql.new"
        if kind == "link":
            planted.symlink_to(victim.parent)
        elif kind == "file":
            planted.write_text(PLANTED)
        else:
            planted.mkdir(mode=0o777)
            (planted / "inner").symlink_to(victim.parent)
        with boss_running("--data", str(plain)) as boss:
            assert httpx.get(f"{boss.url}/job").status_code == 200

    @needs_root
    def test_the_whole_folder(self, plain: Path) -> None:
        plain.mkdir()
        os.chown(plain, pwd.getpwnam("nobody").pw_uid, -1)
        assert "belongs to nobody, but should belong to" in end_of_data(plain)

    def test_a_folder_for_all(self, plain: Path) -> None:
        plain.mkdir()
        plain.chmod(0o1777)
        assert "others may write to" in end_of_data(plain)
        assert mode(plain) == 0o1777


def end_of_data(data: Path) -> str:
    return end_of(BossProcess("--data", str(data)))


class TestSigterm:
    def test_while_it_recovers(self, plain: Path) -> None:
        with boss_running("--data", str(plain)) as boss:
            httpx.post(f"{boss.url}/job/available/freg", content="{}")
            boss.kill()
            os.kill(postmaster(plain), signal.SIGKILL)
        # A start that is never done: what has to be read first never comes.
        (plain / "postgresql" / "recovery.signal").touch()
        with (plain / "postgresql" / "postgresql.auto.conf").open("a") as file:
            file.write("restore_command = 'sleep 1000'\n")
        with closing(BossProcess("--data", str(plain))) as boss:
            until(lambda: (plain / "postgresql" / "postmaster.pid").exists())
            pid = postmaster(plain)
            until(lambda: (plain / "postgresql.log").read_text().count("was interrupted") > 0)
            assert boss.terminate() == 0, boss.log
            assert not alive(pid)
            assert "Traceback" not in boss.log

    def test_at_any_moment(self, plain: Path) -> None:
        for tenths in range(2, 26, 4):
            shutil.rmtree(plain, ignore_errors=True)
            with closing(BossProcess("--data", str(plain))) as boss:
                time.sleep(tenths / 10)
                boss.process.terminate()
                # Before Python has come to Boss the signal ends it as it does every program.
                assert boss.process.wait(PATIENCE) in (0, -signal.SIGTERM), boss.log
                assert "Traceback" not in boss.log
                assert [each for each in psutil.process_iter() if is_of(plain, each)] == []


def is_of(data: Path, process: psutil.Process) -> bool:
    return process.pid != os.getpid() and str(data) in " ".join(cmdline(process))
