"""A server that is still being promoted answers like one that is away: soon it can do everything."""

import pytest

from boss.errors import DatabaseAway
from boss.postgres.connection import connected, fetch
from boss.postgres.migrate import migrate
from boss.postgres.replicas import START
from boss.postgres.statement import Statement
from tests.helpers.failover import servers
from tests.helpers.postgres import PostgresServer
from tests.helpers.servers import until

pytestmark = pytest.mark.slow

__all__ = ["servers"]  # a fixture


@pytest.mark.parametrize("statement", [START, Statement("read_unlogged", "SELECT pid FROM waiting")])
async def test_what_cannot_be_done_in_recovery_passes_with_time(
    servers: tuple[PostgresServer, PostgresServer], statement: Statement
) -> None:
    primary, standby = servers
    async with connected(primary.url) as pool:
        await migrate(pool)
    until(lambda: standby.sql("SELECT to_regclass('waiting')") == "waiting\n")
    async with connected(standby.url) as pool:
        with pytest.raises(DatabaseAway):
            await fetch(pool, statement)
        standby.promote()
        await fetch(pool, statement)
