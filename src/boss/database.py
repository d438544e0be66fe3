"""The way to PostgreSQL: the pool of connections, and what its errors mean to Boss."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
from prometheus_client import Histogram

from boss import metrics
from boss.errors import DATABASE_AWAY, BadInput, DatabaseAway, StartError
from boss.hosts import Hosts, in_a_line

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
# How long a statement may take, with the wait for a connection, in seconds. Ours take milliseconds; what takes longer
# is held up by a lock, a frozen server or a lost machine, and who asked is told to ask again.
_PATIENCE = 10
# How long a transaction may have nothing to do. Ours go on at once; with 9 s and more of a lock, who is behind a frozen
# one would be told that the database is away.
_IDLE_S = 5
# After how long without a sign of life from a replica PostgreSQL ends its session, in seconds.
_GONE_S = 8

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
    # Our statements are right at this level, and go on behind each other; at a higher one they would fail.
    "default_transaction_isolation": "read committed",
    # A little less than our patience, for a session that we have cut off would wait for its lock as long as that is
    # held, and they would use up PostgreSQL's connections one by one.
    "lock_timeout": f"{_PATIENCE - 1}s",
    # As long as our patience: what nobody waits for any more ends by itself. It is the role's no longer, whose own may
    # be shorter.
    "statement_timeout": f"{_PATIENCE}s",
    # A replica that freezes in the middle of a transaction holds its locks no longer than this.
    "idle_in_transaction_session_timeout": f"{_IDLE_S}s",
    # The pool closes what is idle.
    "idle_session_timeout": "0",
}
# The same for one that freezes, or is gone, while PostgreSQL has something to tell it: the first in milliseconds, the
# others in seconds. They are about TCP; a Unix socket has none of them, and so they are not checked.
_SOCKET = {
    "tcp_user_timeout": f"{_GONE_S * 1000}",
    "tcp_keepalives_idle": f"{_GONE_S // 2}",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": f"{_GONE_S // 2}",
}
_SETTINGS = _SESSION | _SOCKET
# What a pooler knows itself, and hands on.
_HANDED_ON = ("application_name", "timezone")
_CHECKED = [name for name in _SESSION if name not in _HANDED_ON]

# PostgreSQL went away, is full, is starting or stopping, is not the primary, or somebody holds a lock: all pass with
# time. Whatever else it says is a mistake of ours or of who set it up, and waiting does not mend it.
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    # What it sends makes no sense, as in the middle of dying.
    asyncpg.InternalClientError,
)
# What PostgreSQL cannot keep although JSON allows it, for instance a number of more than 131,072 digits.
_REFUSED = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Pool]:
    """A pool of connections to the PostgreSQL at `url`, closed on leaving.

    Raises:
        DatabaseAway: no connection can be made.
        StartError: that is no URL, or it leads to a pooler, and not to sessions of our own.
    """
    # None is kept for its own sake: asyncpg would log each failure to make it while the database is away.
    pool = await asyncpg.create_pool(min_size=0, max_size=_CONNECTIONS, reset=_keep, connect=_hosts(url).connect)
    try:
        await _check_session(pool)
        yield pool
    finally:
        pool.terminate()


@cache
def _hosts(url: str) -> Hosts:
    """The hosts of a URL, known to all connections to it."""
    return Hosts(url, _SETTINGS)


# Prepared statements, settings of the session and LISTEN are lost when each transaction gets another session.
_POOLER = (
    "there is a pooler such as PgBouncer before this PostgreSQL, which does not let Boss have sessions of its own: {}. "
    "Give Boss PostgreSQL's own address. (Or a session each, with the same settings: pool_mode = session, "
    f"ignore_startup_parameters = {','.join([*_CHECKED, *_SOCKET])}, and ALTER ROLE … SET for these)"
)


async def _check_session(pool: Pool) -> None:
    """Find out whether our settings have come through, which a pooler between may drop."""
    try:
        async with _borrowed(pool) as connection:
            rows = await connection.fetch(
                "SELECT name, current_setting(name) FROM unnest($1::text[]) AS name", _CHECKED
            )
    except asyncpg.ProtocolViolationError as error:
        raise StartError(_POOLER.format(in_a_line(error))) from error
    except (*_AWAY, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseAway(f"PostgreSQL cannot be reached: {_said(error)}") from error
    for name, found in rows:
        if found != _SESSION[name]:
            raise StartError(_POOLER.format(f"{name} is {found} instead of {_SESSION[name]}"))


async def _keep(_connection: object) -> None:
    """No reset when a connection goes back to the pool: it would cost a round trip for every statement.

    Our statements leave nothing behind in a session.
    """


@contextmanager
def translated() -> Iterator[None]:
    """What PostgreSQL says, as errors of ours, when it is about what was sent or passes with time.

    Raises:
        BadInput: PostgreSQL cannot keep one of the values.
        DatabaseAway: it is not there, or somebody holds a lock.
    """
    try:
        yield
    except _REFUSED as error:
        raise BadInput(f"PostgreSQL cannot keep this: {error}") from error
    except (*_AWAY, asyncpg.InterfaceError) as error:
        if isinstance(error, asyncpg.InterfaceError) and not _CLOSED.search(str(error)):
            raise
        raise DatabaseAway(DATABASE_AWAY) from error


# What asyncpg says of a connection that has just been lost; whatever else it says is a mistake of ours.
_CLOSED = re.compile(r"\bclos|released back to the pool")


def _said(error: Exception) -> str:
    return f"it did not answer within {_PATIENCE} s" if isinstance(error, TimeoutError) else in_a_line(error)


async def fetch(database: Database, statement: str, *values: object) -> list[asyncpg.Record]:
    """Run one statement; over a pool it is a transaction of its own, and has committed when this returns.

    Raises:
        BadInput: PostgreSQL cannot keep one of the values; nothing was done.
        DatabaseAway: PostgreSQL is not there; whether the statement was done is not known.
    """
    tries, started = 0, time.perf_counter()
    while True:
        try:
            with translated():
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
async def _borrowed(pool: Pool, seconds: float = _PATIENCE) -> AsyncIterator[Connection]:
    """A connection of the pool, for so many seconds; then, or when we are cancelled, it is cut off.

    asyncpg would rather have the server cancel its statement, and waits for that: one that is frozen never does.
    """
    connection = None
    try:
        async with asyncio.timeout(seconds):
            connection = await pool.acquire()
            try:
                yield connection
            except asyncio.CancelledError:
                _cut_off(connection)
                raise
    except TimeoutError:
        # When its machine is gone, the others lead nowhere either.
        await pool.expire_connections()
        raise
    finally:
        if connection:
            await pool.release(connection)


def _cut_off(connection: Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # it is back in the pool already, for it was lost
        connection.terminate()


@cache
def _timed(statement: str) -> Histogram:
    """Where a statement's times are kept, by the name in its first line."""
    return metrics.STATEMENTS.labels(statement.split("\n", 2)[1].removeprefix("-- "))


@asynccontextmanager
async def transaction(pool: Pool, seconds: float = _PATIENCE) -> AsyncIterator[Connection]:
    """A connection for several statements that are one transaction, committed on leaving.

    Args:
        pool: the database.
        seconds: how long it may take.

    Raises:
        DatabaseAway: PostgreSQL is not there, or had to break a deadlock; when committing, whether it was done is not
            known.
    """
    try:
        with translated():
            async with _borrowed(pool, seconds) as connection, _committed(connection):
                yield connection
    except asyncpg.DeadlockDetectedError as error:
        raise DatabaseAway("others were at the same jobs; send the request again") from error


@asynccontextmanager
async def _committed(connection: Connection) -> AsyncIterator[None]:
    # Not asyncpg's own block, which makes another error of a cancellation when the connection has been cut off.
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    except asyncio.CancelledError:
        # To roll it back would wait as well; the connection is cut off.
        raise
    except BaseException:
        try:
            await transaction.rollback()
        except (*_AWAY, asyncpg.PostgresError, asyncpg.InterfaceError):
            _cut_off(connection)
        raise
    await transaction.commit()


async def listen(url: str, channel: str, hear: Callable[[str], None], lost: Callable[[], None]) -> Connection:
    """A connection of its own on which `hear` gets the payload of every NOTIFY; `lost` is called when it ends.

    Raises:
        DatabaseAway: it cannot be made.
    """
    with translated():
        connection = await _hosts(url).connect()
        connection.add_termination_listener(lambda _: lost())
        try:
            async with asyncio.timeout(_PATIENCE):
                await connection.add_listener(channel, lambda *heard: hear(str(heard[3])))
        except BaseException:
            connection.terminate()
            raise
        return connection
