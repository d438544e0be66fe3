"""Brings a database to the schema this Boss needs, by the numbered files in sql/migrations.

Forward only. A database that is ahead, as in a rolling upgrade, is left as it is: a migration must keep
the version before it working.
"""

import asyncio
import logging
from importlib.resources import files

import asyncpg

from boss.database import Connection, Pool
from boss.errors import StartError

log = logging.getLogger("boss")

OLDEST_POSTGRESQL = 15
# Any number that no other program on this database is likely to lock: the bytes of "boss".
_LOCK = 0x626F7373
# How long the others may have to wait for us, in milliseconds, and how long they have their turn, in seconds.
_LONGEST_WAIT = 300
_RETRY = 1.0

_APPLIED = """
CREATE TABLE IF NOT EXISTS boss_migration
(
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


async def migrate(pool: Pool) -> None:
    """Apply what is missing, in one transaction; replicas that start together take turns.

    Raises:
        StartError: the database is too old, not in UTF-8, or does not let us change it.
    """
    async with pool.acquire() as connection:
        await _check_server(connection)
        try:
            while not await _migrated(connection):
                log.warning(
                    "migrating the database waits for a long transaction or for another replica to be done with it"
                )
                await asyncio.sleep(_RETRY)
        except asyncpg.InsufficientPrivilegeError as error:
            raise StartError(
                f"Boss may not create its tables in this database: {error}. "
                "Give its user a database of its own: CREATE DATABASE boss OWNER …"
            ) from error


async def _migrated(connection: Connection) -> bool:
    """Apply what is missing, unless somebody holds one of the tables; return whether it could be done.

    Who waits for a table to be changed makes everybody wait who comes after, the version before this one with its takes
    for instance. So it does not wait for long, but tries again.
    """
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            await connection.execute(f"SET LOCAL lock_timeout = '{_LONGEST_WAIT}ms'")
            await _apply_missing(connection)
    except asyncpg.LockNotAvailableError:
        return False
    return True


async def _check_server(connection: Connection) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST_POSTGRESQL:
        raise StartError(f"this is PostgreSQL {version.major}; Boss needs {OLDEST_POSTGRESQL} or newer")
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise StartError(f"this database is in {encoding}; Boss needs one created with ENCODING 'UTF8'")


async def _apply_missing(connection: Connection) -> None:
    await connection.execute(_APPLIED)
    applied = {row["version"] for row in await connection.fetch("SELECT version FROM boss_migration")}
    for version, name, script in migrations():
        if version not in applied:
            log.info("migrating the database: %s", name)
            await connection.execute(script)
            await connection.execute("INSERT INTO boss_migration (version, name) VALUES ($1, $2)", version, name)


def migrations() -> list[tuple[int, str, str]]:
    """Number, file name and SQL of every migration, in order."""
    folder = files("boss") / "sql" / "migrations"
    scripts = sorted((entry.name, entry.read_text()) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name.split("_")[0]), name, script) for name, script in scripts]
