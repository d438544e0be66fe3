"""A backup of a cluster under Patroni, and a server restored from it to a moment, as docs/high-availability.md says."""

import re
import subprocess
from datetime import datetime
from pathlib import Path

from tests.helpers.patroni import Machine, Node
from tests.helpers.postgres import OLDEST_PROGRAMS
from tests.helpers.servers import PATIENCE, free_port, until

_PAGE = (Path(__file__).parents[2] / "docs" / "high-availability.md").read_text()


class Restored(Machine):
    """A server that starts with a backup of this one, and goes on with the archive.

    Args:
        folder: where its files are; made here.
        of: the server to copy now.
    """

    def __init__(self, folder: Path, of: Node) -> None:
        super().__init__(folder)
        self._archive = of.archive
        url = f"postgresql://replicator:change-me-2@127.0.0.1:{of.port}"
        self.run(str(OLDEST_PROGRAMS / "pg_basebackup"), "--dbname", url, "--pgdata", "data", "--checkpoint", "fast")

    def ids(self, moment: datetime) -> set[str]:
        """The ids of the jobs that were there at this moment, by the archive."""
        settings = self.folder / "data" / "postgresql.auto.conf"
        shown = _PAGE.split("```ini\n")[1].split("```")[0]
        for old, new in (
            ("/var/backups/boss", str(self._archive)),
            ("2026-11-26 12:00:00+00", moment.isoformat(" ")),
        ):
            assert old in shown
            shown = shown.replace(old, new)
        self.write("data/postgresql.auto.conf", settings.read_text() + shown)
        self.write("data/recovery.signal", "")
        port = free_port()
        [options] = re.findall(r"--options '-p 5433 (.*?)'", _PAGE)
        where = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}"]
        self.start(str(OLDEST_PROGRAMS / "postgres"), "-D", "data", "-p", str(port), *options.split(), *where)
        url = f"postgresql://postgres:change-me-1@127.0.0.1:{port}"
        until(lambda: _sql(f"{url}/postgres", "SELECT pg_is_in_recovery()") == "f")
        return set(_sql(f"{url}/boss", "SELECT id FROM job").split())


def archive_all(leader: Node) -> None:
    """Have everything archived that the leader has written until now."""
    url = f"postgresql://postgres:change-me-1@127.0.0.1:{leader.port}/postgres"
    last = _sql(url, "SELECT pg_walfile_name(pg_switch_wal())")
    until((leader.archive / last).exists)


def _sql(url: str, statement: str) -> str:
    command = [str(OLDEST_PROGRAMS / "psql"), url, "-At", "-c", statement]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE).stdout.strip()
