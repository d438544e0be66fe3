"""Migrates a database to the schema that this Boss needs, with the numbered files in migrations/.

Migrations go forward only. A database that is ahead, as in a rolling upgrade, is left as it is: every migration must
keep the version before it working. A database that needs no migration is only checked, so its user need not own it.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

import asyncpg

from boss.errors import BadInput, DatabaseAway, StartError
from boss.postgres.connection import Connection, Pool, transaction
from boss.postgres.hosts import in_a_line
from boss.postgres.statement import VOLUMES, volume_table

log = logging.getLogger("boss")

OLDEST_POSTGRESQL = 15
# An advisory lock that no other program on this database is likely to use: the bytes of "boss".
_LOCK = 0x626F7373
# How long a migration waits for a table, and so holds up others that come after it.
_LOCK_TIMEOUT_MS = 300
# How long those others then have their turn, before the migration is retried.
_RETRY_S = 1.0
# How long all missing migrations may take together.
_MIGRATION_TIMEOUT_S = 30

_APPLIED = """
CREATE TABLE IF NOT EXISTS boss_migration
(
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""

# The privileges that Boss's user needs on each table.
_TABLES = {
    "job": "SELECT INSERT UPDATE DELETE",
    **{volume_table(volume): "SELECT INSERT UPDATE DELETE TRUNCATE" for volume in VOLUMES},
    "tally": "SELECT INSERT DELETE",
    "volume_tally": "SELECT INSERT DELETE",
    "waiting": "SELECT INSERT DELETE",
    "throughput": "SELECT INSERT DELETE",
    "source_history": "SELECT INSERT DELETE",
    "source_level": "SELECT INSERT UPDATE DELETE",
    "source_asked": "SELECT INSERT UPDATE DELETE",
    "token": "SELECT INSERT UPDATE",
    "act": "SELECT INSERT UPDATE",
    "heartbeat": "SELECT INSERT UPDATE",
    "source_rule": "SELECT INSERT UPDATE DELETE",
    "rate_used": "SELECT INSERT UPDATE DELETE",
    "schedule": "SELECT INSERT UPDATE DELETE",
    "awaited": "SELECT INSERT UPDATE DELETE",
    "expiry": "SELECT INSERT UPDATE DELETE",
    "dependency": "SELECT INSERT UPDATE DELETE",
    "ended_job": "SELECT INSERT DELETE",
    "converter": "SELECT INSERT UPDATE DELETE",
    "boss_migration": "SELECT",
}
# Without these triggers the job counts would be wrong without any error, or an id could come twice.
_TRIGGERS = (
    "tally_inserted",
    "tally_updated",
    "tally_deleted",
    "tally_truncated",
    "announce_inserted",
    "announce_updated",
    "leave_out_id_of_done",
)
_TRIGGERS_OF_VOLUMES = (
    "tally_inserted",
    "tally_updated",
    "tally_deleted",
    "volume_inserted",
    "volume_changed",
    "volume_truncated",
)

_SERVER = """
SELECT current_setting('server_encoding') AS encoding,
       current_setting('transaction_read_only') = 'on' AS read_only,
       pg_is_in_recovery() AS standby
"""
_FOUND = """
SELECT needed.name, pg_class.relkind = 'r' AS is_table, nspname AS schema,
       relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('boss_migration')) AS is_ours,
       ARRAY(SELECT privilege FROM unnest(string_to_array(needed.privileges, ' ')) AS privilege
             WHERE NOT has_table_privilege(pg_class.oid, privilege)) AS lacks
FROM unnest($1::text[], $2::text[]) AS needed(name, privileges)
LEFT JOIN pg_class ON pg_class.oid = to_regclass(needed.name)
LEFT JOIN pg_namespace ON pg_namespace.oid = relnamespace
"""
_MISSING_TRIGGERS = """
SELECT needed.name
FROM unnest($1::text[]) WITH ORDINALITY AS needed(name, turn)
WHERE NOT EXISTS (SELECT FROM pg_trigger
                  WHERE tgrelid = to_regclass($2) AND tgname = needed.name AND tgenabled IN ('O', 'A'))
ORDER BY turn
"""
# The trigger functions name the schema (0007_found.sql).
_IS_RENAMED = """
SELECT strpos(prosrc, quote_ident(current_schema()) || '.tally') = 0
FROM pg_proc
WHERE oid = to_regproc('tally_inserted')
"""
_OWN_SCHEMA = "Give Boss a database of its own, or a schema: CREATE SCHEMA boss; ALTER ROLE … SET search_path = boss"
_ANOTHER_USER = (
    "If the tables are there, GRANT its user the rights that docs/operating.md lists; if not, "
    "boss migrate does it as another user, who owns the schema; or give Boss's own user a database: "
)


async def migrate(pool: Pool) -> list[str]:
    """Apply the missing migrations in one transaction, and return their names. Replicas that start together take turns.

    Raises:
        StartError: the database is too old, not in UTF-8, read-only, not Boss's, or does not permit us to change or use
            it.
        DatabaseAway: it went away meanwhile.
    """
    applied: list[str] = []
    with _explained():
        async with transaction(pool) as connection:
            await _check_server(connection)
            missing = await _missing(connection)
        while missing:
            try:
                applied = await _apply_missing(pool)
                missing = []
            except DatabaseAway as error:
                if not isinstance(error.__cause__, asyncpg.LockNotAvailableError | asyncpg.DeadlockDetectedError):
                    raise
                log.warning(
                    "migrating the database waits for a long transaction or for another replica to be done with it"
                )
                await asyncio.sleep(_RETRY_S)
        async with transaction(pool) as connection:
            await _check_tables(connection)
            if await connection.fetchval(_IS_RENAMED):
                log.info("the schema was renamed; updating its triggers")
                await connection.execute("SELECT write_out_schema()")
    return applied


@contextmanager
def _explained() -> Iterator[None]:
    """Translate PostgreSQL's refusals to errors that say what to do."""
    try:
        yield
    except asyncpg.InsufficientPrivilegeError as error:
        raise StartError(
            f"Boss may not make or read its tables in this database: {in_a_line(error)}. {_ANOTHER_USER}"
            "CREATE DATABASE boss OWNER …"
        ) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, BadInput) as error:
        raise StartError(
            f"the tables in this database are not Boss's, or not all of them: {in_a_line(error)}. {_OWN_SCHEMA}"
        ) from error


async def _check_server(connection: Connection) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST_POSTGRESQL:
        raise StartError(f"this is PostgreSQL {version.major}; Boss needs {OLDEST_POSTGRESQL} or newer")
    found = await connection.fetchrow(_SERVER)
    assert found
    if found["encoding"] != "UTF8":
        raise StartError(f"this database is in {found['encoding']}; Boss needs one created with ENCODING 'UTF8'")
    if found["standby"]:
        raise StartError("this PostgreSQL is a standby, which takes no writes; name its primary, or all hosts at once")
    if found["read_only"]:
        raise StartError("this database is read-only: default_transaction_read_only is on, and Boss has to write")


async def _missing(connection: Connection) -> list[tuple[int, str, str]]:
    """The migrations that have not been applied: number, file name and SQL of each."""
    applied: set[int] = set()
    if await connection.fetchval("SELECT to_regclass('boss_migration') IS NOT NULL"):
        applied = {row["version"] for row in await connection.fetch("SELECT version FROM boss_migration")}
    return [each for each in migrations() if each[0] not in applied]


async def _apply_missing(pool: Pool) -> list[str]:
    """Apply the missing migrations; return their names.

    A migration that waits for a table makes everything after it wait too, for instance the takes of the version before
    this one. So it gives up soon, and the caller retries it.

    Raises:
        DatabaseAway: another session holds a lock on one of the tables.
    """
    async with transaction(pool, _MIGRATION_TIMEOUT_S) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(
            f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_MS}ms'; SET LOCAL statement_timeout = '{_MIGRATION_TIMEOUT_S}s'"
        )
        await connection.execute(_APPLIED)
        missing = await _missing(connection)
        for version, name, script in missing:
            log.info("migrating the database: %s", name)
            await connection.execute(script)
            await connection.execute("INSERT INTO boss_migration (version, name) VALUES ($1, $2)", version, name)
        return [name for _, name, _ in missing]


async def _check_tables(connection: Connection) -> None:
    """Check that all tables and triggers are there, and that our user may use them."""
    for name, is_table, schema, is_ours, lacks in await connection.fetch(_FOUND, [*_TABLES], [*_TABLES.values()]):
        if is_table is None:
            raise StartError(f"the table {name} is missing, though its migration was applied; restore a backup")
        if not is_table or not is_ours:
            raise StartError(f"{schema}.{name} is not Boss's, but something else of that name. {_OWN_SCHEMA}")
        if lacks:
            rights = ", ".join(lacks)
            raise StartError(f"Boss's user may not {rights} {schema}.{name}; GRANT {rights} ON {schema}.{name} TO …")
    for table, triggers in {
        "job": _TRIGGERS,
        **dict.fromkeys(map(volume_table, VOLUMES), _TRIGGERS_OF_VOLUMES),
    }.items():
        if missing := [row["name"] for row in await connection.fetch(_MISSING_TRIGGERS, triggers, table)]:
            raise StartError(
                f"the table {table} lacks its triggers {', '.join(missing)}, or they are disabled, "
                f"so jobs are not counted; restore a whole backup, or ALTER TABLE {table} ENABLE TRIGGER …"
            )


def migrations() -> list[tuple[int, str, str]]:
    """The number, file name and SQL of every migration, in order."""
    folder = files("boss.postgres") / "migrations"
    scripts = sorted((entry.name, entry.read_text()) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name.split("_")[0]), name, script) for name, script in scripts]
