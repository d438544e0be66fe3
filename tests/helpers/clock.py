"""A clock that tests move. It is the database's, because leases and delays go by the database's time.

Nothing in Boss knows of it. A schema before pg_catalog in the search path has its own now(), which all of Boss's
statements, defaults and triggers then use. The time that passes is not an outage: Boss was running all along.
"""

import asyncio
import math
from types import TracebackType

import asyncpg

from boss.dispatch.maintenance import Uptime, maintain
from boss.dispatch.wait_queue import WaitQueue
from boss.postgres.connection import Pool, connected
from tests.helpers.dispatchers import no_limits
from tests.helpers.servers import BossProcess

_INSTALL = """
CREATE SCHEMA clock;
CREATE TABLE clock.moved AS SELECT interval '0' AS by;
CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE
AS 'SELECT pg_catalog.now() + (SELECT by FROM clock.moved)';
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
AS 'SELECT pg_catalog.clock_timestamp() + (SELECT by FROM clock.moved)';
CREATE FUNCTION clock.move(seconds float8) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    UPDATE clock.moved SET by = by + make_interval(secs => seconds);
    UPDATE heartbeat SET at = at + make_interval(secs => seconds);
END $$;
DO $$ BEGIN
    EXECUTE format('ALTER DATABASE %I SET search_path = clock, pg_catalog, public', current_database());
END $$;
"""
_LATE = """
SELECT EXISTS (SELECT FROM job
               WHERE status = 'AVAILABLE' AND due_at <= now() OR status = 'ACTIVE' AND lease_until <= now())
       OR EXISTS (SELECT FROM expiry WHERE at <= now())
       OR EXISTS (SELECT FROM ended_job)
"""


class Clock:
    """The clock of a database, which must still be empty when this is created.

    Attributes:
        database: its URL.
        boss: a Boss on that database.
        moved: how far the clock has been moved, in seconds.
    """

    boss: BossProcess
    moved = 0.0

    def __init__(self, database: str) -> None:
        self.database = database
        self._runner = asyncio.Runner()
        self._pool: Pool | None = None

    def __enter__(self) -> "Clock":
        self._runner.run(self._install())
        self._connected = connected(self.database)
        self._pool = self._runner.run(self._connected.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._connected.__aexit__(kind, error, trace))
        self._runner.close()

    def move(self, seconds: float) -> None:
        """Let so much time pass; return when maintenance has done all that is due by then."""
        self.moved += seconds
        self._runner.run(self._move(seconds))

    def run(self, statement: str) -> None:
        """Run SQL in the database."""
        assert self._pool
        self._runner.run(self._pool.execute(statement))

    async def _install(self) -> None:
        connection = await asyncpg.connect(self.database)
        await connection.execute(_INSTALL)
        await connection.close()

    async def _move(self, seconds: float) -> None:
        assert self._pool
        await self._pool.execute("SELECT clock.move($1)", seconds)
        # The server may do maintenance at the same time and lock these jobs, so check that everything is done.
        while await self._pool.fetchval(_LATE):
            await maintain(self._pool, WaitQueue(), no_limits(self._pool), Uptime(-math.inf))
