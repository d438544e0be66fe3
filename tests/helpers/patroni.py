"""Two PostgreSQL servers under Patroni, with etcd and HAProxy, all with the configurations of deploy/patroni/."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.helpers.deploy import DEPLOY
from tests.helpers.leftovers import OF_TESTS
from tests.helpers.postgres import OLDEST_PROGRAMS
from tests.helpers.servers import PATIENCE, free_port

_EXAMPLE = DEPLOY / "patroni"
# Patroni looks around every two seconds.
_LOOK_S = 0.1
_PROGRAMS = ("patroni", "patronictl", "etcd", "haproxy")


def missing() -> str:
    """What is not installed here of what the cluster needs; empty if nothing."""
    absent = [name for name in _PROGRAMS if not shutil.which(name)]
    absent += [] if OLDEST_PROGRAMS.is_dir() else ["PostgreSQL 15"]
    return ", ".join(absent)


class Machine:
    """What stands for a machine: programs that all run in this folder, which can be lost or freeze together.

    When the tests run as root, they run as nobody: PostgreSQL refuses to run as root.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        folder.mkdir()
        self._own(folder)

    def _own(self, path: Path) -> None:
        if self._user:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def write(self, name: str, text: str) -> Path:
        """Write a file that only its programs may read, as Patroni's must be."""
        path = self.folder / name
        path.touch(0o600)
        path.write_text(text)
        self._own(path)
        return path

    def start(self, *command: str) -> None:
        """Start a program; its output goes to the file `log`."""
        user = self._user
        with (self.folder / "log").open("a") as log:
            self._started.append(
                subprocess.Popen(
                    command,
                    cwd=self.folder,
                    stdout=log,
                    stderr=log,
                    env={"PATH": os.environ["PATH"], "HOME": str(self.folder), OF_TESTS: str(os.getpid())},
                    user=user.pw_uid if user else None,
                    group=user.pw_gid if user else None,
                    extra_groups=[] if user else None,
                )
            )

    def run(self, *command: str) -> None:
        """Run a program to its end."""
        self.start(*command)
        status = self._started.pop().wait(PATIENCE)
        assert status == 0, (self.folder / "log").read_text()

    def processes(self) -> list[psutil.Process]:
        """All that runs in its folder: PostgreSQL is no child of Patroni for long."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # it has just ended, or it is another user's
                if Path(process.cwd()).is_relative_to(self.folder):
                    found.append(process)
        return found

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all its processes."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """End all its processes at once, frozen ones too."""
        while processes := self.processes():
            self.signal(signal.SIGKILL)
            psutil.wait_procs(processes, timeout=PATIENCE)
        for each in self._started:
            each.wait(PATIENCE)

    def close(self) -> None:
        """End it, in whatever state it is."""
        self.kill()


class Node(Machine):
    """One of the two servers: Patroni, and its PostgreSQL."""

    def __init__(self, folder: Path, name: str, archive: Path) -> None:
        super().__init__(folder)
        self.name = name
        self.port, self.api = free_port(), free_port()
        self.archive = archive
        self._asking = httpx.Client(base_url=f"http://127.0.0.1:{self.api}", timeout=2)

    def begin(self, etcd: int) -> None:
        """Start Patroni with the example's configuration; only its addresses, folders and names are others."""
        self._configuration = self.write(
            "patroni.yml",
            replaced(
                (_EXAMPLE / "patroni.yml").read_text(),
                ("name: one", f"name: {self.name}"),
                ("10.0.0.1:8008", f"127.0.0.1:{self.api}"),
                ("10.0.0.1:5432", f"127.0.0.1:{self.port}"),
                ("hosts: 10.0.0.3:2379", f"hosts: 127.0.0.1:{etcd}"),
                ("10.0.0.0/24", "127.0.0.1/32"),
                ("/var/lib/postgresql/15/boss", f"{self.folder}/data"),
                ("/var/lib/postgresql/pgpass", f"{self.folder}/pgpass"),
                ("/var/run/postgresql", str(self.folder)),
                ("/usr/lib/postgresql/15/bin", str(OLDEST_PROGRAMS)),
                ("/etc/patroni/archive", str(self.archive / "archive")),
                ("/var/backups/boss", str(self.archive)),
                # A machine under test must not be reset.
                ("mode: automatic", 'mode: "off"'),
            ),
        )
        self.resume()

    def resume(self) -> None:
        """Start Patroni again, as when the machine comes back."""
        self.start("patroni", str(self._configuration))

    def role(self) -> str:
        """What Patroni says that it is: the leader, in sync with it, or neither, as while nobody answers."""
        for role in ("leader", "sync"):
            with suppress(httpx.TransportError):
                if self._asking.get(f"/{role}").status_code == 200:
                    return role
        return ""

    def close(self) -> None:
        """End it, in whatever state it is."""
        super().close()
        self._asking.close()

    def becomes(self, role: str) -> None:
        """Wait until it is that."""
        deadline = time.monotonic() + PATIENCE
        while self.role() != role:
            assert time.monotonic() < deadline, f"{self.name} is no {role}"
            time.sleep(_LOOK_S)

    def switchover(self) -> None:
        """Hand the leadership over, by the command that the docs show."""
        where = ["-c", str(self._configuration)]
        command = ["patronictl", *where, "switchover", "--master", self.name, "--force"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert said.returncode == 0, said.stdout + said.stderr
        assert "Successfully switched over" in said.stdout, said.stdout

    def sql(self, database: str, statement: str) -> None:
        """Run a statement as the superuser."""
        url = f"postgresql://postgres:change-me-1@127.0.0.1:{self.port}/{database}"
        command = [str(OLDEST_PROGRAMS / "psql"), url, "-v", "ON_ERROR_STOP=1", "-c", statement]
        said = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        assert said.returncode == 0, said.stderr


class Cluster:
    """Two servers, one etcd and one HAProxy, in a folder that other users can reach."""

    def __init__(self, folder: Path) -> None:
        self.keeper = Machine(folder / "keeper")
        archive = Machine(folder / "archive").folder
        shutil.copy(_EXAMPLE / "archive", archive)
        self.folder = folder
        self.nodes = Node(folder / "one", "one", archive), Node(folder / "two", "two", archive)
        self.proxy = free_port()

    def start(self) -> None:
        """Start everything, and make the database boss."""
        client, peer = free_port(), free_port()
        flags = ["--enable-v2", f"--data-dir={self.keeper.folder}/etcd", f"--listen-peer-urls=http://127.0.0.1:{peer}"]
        flags += [f"--{kind}-client-urls=http://127.0.0.1:{client}" for kind in ("listen", "advertise")]
        self.keeper.start("etcd", *flags)
        one, two = self.nodes
        one.begin(client)
        one.becomes("leader")
        two.begin(client)
        changes = [(f"10.0.0.{number}:5432", f"127.0.0.1:{node.port}") for number, node in enumerate(self.nodes, 1)]
        proxy = replaced(
            (_EXAMPLE / "haproxy.cfg").read_text(), ("127.0.0.1:5000", f"127.0.0.1:{self.proxy}"), *changes
        )
        # In the example both servers have the same port, and an address of their own.
        proxy = proxy.replace("check port 8008 ", "check ")
        for node in self.nodes:
            proxy = proxy.replace(f"127.0.0.1:{node.port}", f"127.0.0.1:{node.port} port {node.api}")
        self.keeper.start("haproxy", "-db", "-f", str(self.keeper.write("haproxy.cfg", proxy)))
        one.sql("postgres", "CREATE ROLE boss LOGIN PASSWORD 'change-me-4'")
        one.sql("postgres", "CREATE DATABASE boss OWNER boss")
        two.becomes("sync")

    @property
    def url(self) -> str:
        """The URL of the database that names both servers."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"postgresql://boss:change-me-4@{hosts}/boss?target_session_attrs=read-write"

    @property
    def proxied(self) -> str:
        """The URL of the database behind HAProxy."""
        return f"postgresql://boss:change-me-4@127.0.0.1:{self.proxy}/boss"

    def log(self) -> str:
        """What all of them said."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*/log")))

    def close(self) -> None:
        """End everything, in whatever state it is."""
        for machine in (*self.nodes, self.keeper):
            machine.close()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a cluster; skips where a program is missing."""
    if absent := missing():
        pytest.skip(f"not installed here: {absent} (Debian's packages patroni, etcd-server, haproxy, postgresql-15)")
    # Not pytest's tmp_path: as root, PostgreSQL runs as another user, who has to reach the folder.
    with tempfile.TemporaryDirectory(prefix="boss-patroni-") as folder:
        Path(folder).chmod(0o755)
        running = Cluster(Path(folder))
        try:
            running.start()
            yield running
        except BaseException:
            print(running.log())
            raise
        finally:
            running.close()


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """The text with these replacements, each of which must be needed."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text
