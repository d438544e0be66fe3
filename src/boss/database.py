"""The way to PostgreSQL: the pool of connections, and what its errors mean to Boss."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
from prometheus_client import Histogram

from boss import metrics
from boss.errors import BadInput, DatabaseAway, StartError

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

# Quoted, for asyncpg is typed by a package of stubs: at run time its classes take no parameters.
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
# Whatever a statement can run on.
Database: TypeAlias = (
    "asyncpg.Pool[asyncpg.Record] | asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
)

# One statement of each kind is under way at a time (coalescer.py), so few connections are ever busy.
_CONNECTIONS = 10
_DEADLOCK_TRIES = 5
# How long one of the hosts may take to let us in, in seconds: a frozen one must not use up what follows.
_CONNECT = 4
# How long a statement may take, with the wait for a connection, in seconds. Ours take milliseconds; what takes longer
# is held up by a lock, a frozen server or a lost machine, and who asked is told to ask again.
_PATIENCE = 10

_SESSION = {
    "application_name": "boss",
    # What jsonb keeps of a time says its offset.
    "timezone": "UTC",
    # Our statements take well under a millisecond; compiling one would take longer than running it.
    "jit": "off",
    # A plan chosen while the table was small would read all of it when it is large, until the next ANALYZE.
    # Every statement has an index to go by, so let no plan do without.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    # Planned once a connection, not on each of the many runs.
    "plan_cache_mode": "force_generic_plan",
    # A little less than our patience, for a session that we have cut off would wait for its lock as long as that is
    # held, and they would use up PostgreSQL's connections one by one.
    "lock_timeout": f"{_PATIENCE - 1}s",
}
# What a pooler may drop; the other two it knows itself, and hands on.
_DROPPED = [name for name in _SESSION if name not in ("application_name", "timezone")]

# PostgreSQL went away, is full, is starting or stopping, or is not the primary: all pass with time.
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    # It lets us in no more: no such user or database just now, or it is closed to connections.
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.InternalClientError,
)
# What PostgreSQL cannot keep although JSON allows it, for instance a number of more than 131,072 digits.
_REFUSED = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Pool]:
    """A pool of connections to the PostgreSQL at `url`, closed on leaving.

    Raises:
        DatabaseAway: no connection can be made.
        StartError: it leads to a pooler, and not to sessions of our own.
    """
    try:
        # None is kept for its own sake: asyncpg would log each failure to make it while the database is away.
        pool = await asyncpg.create_pool(
            url, min_size=0, max_size=_CONNECTIONS, reset=_keep, server_settings=_SESSION, timeout=_CONNECT
        )
        await _check_session(pool)
    except asyncpg.ProtocolViolationError as error:
        raise StartError(_POOLER.format(error)) from error
    except (*_AWAY, asyncpg.PostgresError, ValueError) as error:
        raise DatabaseAway(f"PostgreSQL cannot be reached: {error}") from error
    try:
        yield pool
    finally:
        pool.terminate()


# Prepared statements, settings of the session and LISTEN are lost when each transaction gets another session.
_POOLER = (
    "there is a pooler such as PgBouncer before this PostgreSQL, which does not let Boss have sessions of its own: {}. "
    "Give Boss PostgreSQL's own address. (Or a session each, with the same settings: pool_mode = session, "
    f"ignore_startup_parameters = {','.join(_DROPPED)}, and ALTER ROLE … SET for these)"
)


async def _check_session(pool: Pool) -> None:
    """Find out whether our settings have come through, which a pooler between may drop."""
    for name in _DROPPED:
        found = await pool.fetchval("SELECT current_setting($1)", name)
        if found != _SESSION[name]:
            raise StartError(_POOLER.format(f"{name} is {found} instead of {_SESSION[name]}"))


async def _keep(_connection: object) -> None:
    """No reset when a connection goes back to the pool: it would cost a round trip for every statement.

    Our statements leave nothing behind in a session.
    """


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except _REFUSED as error:
        raise BadInput(f"PostgreSQL cannot keep this: {error}") from error
    except _AWAY as error:
        raise DatabaseAway("the database is away; send the request again in a moment") from error


async def fetch(database: Database, statement: str, *values: object) -> list[asyncpg.Record]:
    """Run one statement; over a pool it is a transaction of its own, and has committed when this returns.

    Raises:
        BadInput: PostgreSQL cannot keep one of the values; nothing was done.
        DatabaseAway: PostgreSQL is not there; whether the statement was done is not known.
    """
    tries, started = 0, time.perf_counter()
    while True:
        try:
            with _translated():
                rows = await _fetch(database, statement, values)
                _timed(statement).observe(time.perf_counter() - started)
                return rows
        except asyncpg.DeadlockDetectedError:
            # Two replicas locked the same jobs in opposite order; PostgreSQL undid ours, so do it again.
            tries += 1
            if tries == _DEADLOCK_TRIES or not isinstance(database, asyncpg.Pool):
                raise


async def _fetch(database: Database, statement: str, values: Sequence[object]) -> list[asyncpg.Record]:
    if not isinstance(database, asyncpg.Pool):
        try:
            async with asyncio.timeout(_PATIENCE):
                return await database.fetch(statement, *values)
        except TimeoutError:
            database.terminate()
            raise
    async with _borrowed(database) as connection:
        return await connection.fetch(statement, *values)


@asynccontextmanager
async def _borrowed(pool: Pool) -> AsyncIterator[Connection]:
    """A connection of the pool, for as long as our patience lasts; then, or when we are cancelled, it is cut off.

    asyncpg would rather have the server cancel its statement, and waits for that: one that is frozen never does.
    """
    connection = None
    try:
        async with asyncio.timeout(_PATIENCE):
            connection = await pool.acquire()
            try:
                yield connection
            except asyncio.CancelledError:
                connection.terminate()
                raise
    except TimeoutError:
        # When its machine is gone, the others lead nowhere either.
        await pool.expire_connections()
        raise
    finally:
        if connection:
            await pool.release(connection)


@cache
def _timed(statement: str) -> Histogram:
    """Where a statement's times are kept, by the name in its first line."""
    return metrics.STATEMENTS.labels(statement.split("\n", 2)[1].removeprefix("-- "))


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A connection for several statements that are one transaction, committed on leaving.

    Raises:
        DatabaseAway: PostgreSQL is not there, or had to break a deadlock; when committing, whether it was done is not
            known.
    """
    try:
        with _translated():
            async with _borrowed(pool) as connection, connection.transaction():
                try:
                    yield connection
                except asyncio.CancelledError:
                    # Before it would be rolled back, which would wait as well.
                    connection.terminate()
                    raise
    except asyncpg.DeadlockDetectedError as error:
        raise DatabaseAway("others were at the same jobs; send the request again") from error


async def listen(url: str, channel: str, hear: Callable[[str], None], lost: Callable[[], None]) -> Connection:
    """A connection of its own on which `hear` gets the payload of every NOTIFY; `lost` is called when it ends.

    Raises:
        DatabaseAway: it cannot be made.
    """
    with _translated():
        connection = await asyncpg.connect(url, server_settings=_SESSION, timeout=_CONNECT)
        connection.add_termination_listener(lambda _: lost())
        await connection.add_listener(channel, lambda *heard: hear(str(heard[3])))
        return connection
