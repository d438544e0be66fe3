"""The way to PostgreSQL: the pool of connections, and what its errors mean to Boss."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache, partial
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
from prometheus_client import Histogram

from boss.errors import DATABASE_AWAY, BadInput, BossError, DatabaseAway, StartError
from boss.postgres.hosts import Hosts, in_a_line
from boss.postgres.statement import Statement
from boss.telemetry import metrics

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

# asyncpg is typed by a package of stubs: at run time its classes take no parameters.
if TYPE_CHECKING:
    _Pool = asyncpg.Pool[asyncpg.Record]
else:
    _Pool = asyncpg.Pool
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
# Whatever a statement can run on.
Database: TypeAlias = "Pool | Connection"

# With the one at hand. Few are ever busy, for the frequent statements take turns (coalescer.py).
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


class Pool(_Pool):
    """asyncpg's pool, with one more connection that is always at hand.

    A statement that comes while it is free need not borrow one of the others, which takes 15 µs of our time.

    Args:
        url: the database.
    """

    def __init__(self, url: str) -> None:
        self._hosts = _hosts(url)
        self._running_loop = asyncio.get_running_loop()
        self._at_hand: asyncpg.Connection[asyncpg.Record] | None = None
        self._in_use = False
        super().__init__(
            # None is kept for its own sake: asyncpg would log each failure to make it while the database is away.
            min_size=0,
            max_size=_CONNECTIONS - 1,
            max_queries=50_000,
            max_inactive_connection_lifetime=300,
            connect=self._hosts.connect,
            reset=_keep,
            loop=self._running_loop,
            connection_class=asyncpg.Connection,
            record_class=asyncpg.Record,
        )

    async def run(self, sql: str, values: Sequence[object]) -> list[asyncpg.Record]:
        """Run a statement as a transaction of its own, for `_PATIENCE` seconds at most, or until cancelled."""
        if self._in_use:
            async with _borrowed(self) as borrowed:
                return await borrowed.fetch(sql, *values)
        self._in_use, connection, timer = True, self._at_hand, None
        try:
            if connection is None or connection.is_closed():
                connection = await self._renew()
            # It is cut off, as in _borrowed. A timer costs a third of asyncio.timeout.
            timer = self._running_loop.call_later(_PATIENCE, connection.terminate)
            return await connection.fetch(sql, *values)
        except BaseException as error:
            await self._after(error, timer)
            raise
        finally:
            self._in_use = False
            if timer:
                timer.cancel()

    async def _renew(self) -> "asyncpg.Connection[asyncpg.Record]":
        async with asyncio.timeout(_PATIENCE):
            self._at_hand = await self._hosts.connect()
        return self._at_hand

    async def _after(self, error: BaseException, timer: asyncio.TimerHandle | None) -> None:
        """Cut the connection off when nobody waits for its statement any more, and all others when its time is over."""
        if self._at_hand and not isinstance(error, Exception):
            self._at_hand.terminate()
        if timer and self._running_loop.time() >= timer.when():
            await self.expire_connections()

    async def expire_connections(self) -> None:
        """Have all connections replaced before they are used again."""
        await super().expire_connections()
        if self._at_hand and not self._in_use:
            self._at_hand.terminate()

    def terminate(self) -> None:
        """Close all connections at once."""
        if self._at_hand:
            self._at_hand.terminate()
        super().terminate()

    def use(self) -> tuple[int, int]:
        """How many of the connections are at work, and how many are idle."""
        at_hand = self._at_hand is not None and not self._at_hand.is_closed()
        busy = self.get_size() - self.get_idle_size() + (at_hand and self._in_use)
        return busy, self.get_size() + at_hand - busy


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Pool]:
    """A pool of connections to the PostgreSQL at `url`, closed on leaving.

    Raises:
        DatabaseAway: no connection can be made.
        StartError: that is no URL, or it leads to a pooler, and not to sessions of our own.
    """
    pool = Pool(url)
    await pool
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
    except Exception as error:
        if ours := _as_ours(error):
            raise ours from error
        raise


def _as_ours(error: Exception) -> BossError | None:
    if isinstance(error, _REFUSED):
        return BadInput(f"PostgreSQL cannot keep this: {error}")
    if isinstance(error, _AWAY) or (isinstance(error, asyncpg.InterfaceError) and _CLOSED.search(str(error))):
        return DatabaseAway(DATABASE_AWAY)
    return None


# What asyncpg says of a connection that has just been lost; whatever else it says is a mistake of ours.
_CLOSED = re.compile(r"\bclos|released back to the pool")


def _said(error: Exception) -> str:
    return f"it did not answer within {_PATIENCE} s" if isinstance(error, TimeoutError) else in_a_line(error)


async def fetch(database: Database, statement: Statement, *values: object) -> list[asyncpg.Record]:
    """Run one statement; over a pool it is a transaction of its own, and has committed when this returns.

    Raises:
        BadInput: PostgreSQL cannot keep one of the values; nothing was done.
        DatabaseAway: PostgreSQL is not there; whether the statement was done is not known.
    """
    tries, started = 0, time.perf_counter()
    run = database.run if isinstance(database, Pool) else partial(_run_in_transaction, database)
    while True:
        try:
            rows = await run(statement.sql, values)
        except asyncpg.DeadlockDetectedError:
            # Two replicas locked the same jobs in opposite order; PostgreSQL undid ours, so do it again.
            tries += 1
            if tries == _DEADLOCK_TRIES or not isinstance(database, Pool):
                raise
        except Exception as error:
            if ours := _as_ours(error):
                raise ours from error
            raise
        else:
            _times(statement).observe(time.perf_counter() - started)
            return rows


async def _run_in_transaction(connection: Connection, sql: str, values: Sequence[object]) -> list[asyncpg.Record]:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await connection.fetch(sql, *values)
    except TimeoutError:
        connection.terminate()
        raise


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
def _times(statement: Statement) -> Histogram:
    """The histogram of a statement's times."""
    return metrics.STATEMENTS.labels(statement.name)


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
