"""Two servers, of which one fails."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.postgres import PostgresServer

TAKERS, SUBMITTERS = 6, 3


@pytest.fixture
def servers(postgres: str) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A primary, and a synchronous standby, without which the primary commits nothing."""
    # Not pytest's tmp_path: as root, PostgreSQL runs as another user, who has to reach the folder.
    with tempfile.TemporaryDirectory(prefix="boss-failover-") as folder:
        Path(folder).chmod(0o755)
        primary = PostgresServer.new(Path(folder) / "primary", wal_level="replica")
        standby = primary.standby(Path(folder) / "standby")
        # Not before the copy, which would wait for a standby of its own once it is promoted.
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.sql("SELECT pg_reload_conf()")
        yield primary, standby
        primary.close()
        standby.close()
