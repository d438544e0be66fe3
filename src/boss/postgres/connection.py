"""The connection pool to PostgreSQL, and how its errors are translated to Boss's."""

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

# Only the stubs of asyncpg make its classes generic; at run time they take no parameters.
if TYPE_CHECKING:
    _Pool = asyncpg.Pool[asyncpg.Record]
else:
    _Pool = asyncpg.Pool
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
# What a statement can run on.
Database: TypeAlias = "Pool | Connection"

# The size of the pool, with the connection at hand. Few are ever busy: frequent statements take turns (coalescer.py).
_CONNECTIONS = 10
_DEADLOCK_TRIES = 5
# How long a statement may take, with the wait for a connection. Ours take milliseconds. One that takes longer waits for
# a lock, a frozen server or a lost machine, and its request is answered with an error that says to send it again.
_STATEMENT_TIMEOUT_S = 10
# How long a transaction may be idle. Ours never are, unless their replica freezes. Were it 9 s or more, requests that
# wait for the locks of such a transaction would fail as if the database were away.
_IDLE_S = 5
# PostgreSQL ends a replica's session after this time without an answer from its machine.
_GONE_S = 8

_SESSION = {
    "application_name": "boss",
    # Times in jsonb are stored with their offset.
    "timezone": "UTC",
    # Our statements take well under a millisecond; to compile one would take longer than to run it.
    "jit": "off",
    # A plan made while the table was small would read all of it when it is large, until the next ANALYZE. Every
    # statement has an index it can use, so no plan needs these scans.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    # Beside a long history the planner knows of no available job. It would then take any index that has those of that
    # state, read all of them and sort: 61 ms a take, with 100,000. Every statement has an index with its order.
    "enable_sort": "off",
    "enable_incremental_sort": "off",
    # Statements are planned once for each connection, not for each of their many runs.
    "plan_cache_mode": "force_generic_plan",
    # Our statements are correct at this level, and wait for each other. At a higher level they would fail instead.
    "default_transaction_isolation": "read committed",
    # A little less than the statement timeout. A session whose connection we aborted goes on waiting for its lock; such
    # sessions would use up PostgreSQL's connections one by one.
    "lock_timeout": f"{_STATEMENT_TIMEOUT_S - 1}s",
    # The same as our own time-out, so that a statement that nobody waits for any more ends by itself. It also overrides
    # a time-out of the role, which may be shorter.
    "statement_timeout": f"{_STATEMENT_TIMEOUT_S}s",
    # A replica that freezes in the middle of a transaction keeps its locks no longer than this.
    "idle_in_transaction_session_timeout": f"{_IDLE_S}s",
    # The pool itself closes idle connections.
    "idle_session_timeout": "0",
}
# These end the session of a replica that froze or is gone while PostgreSQL has something to send to it. The first is in
# milliseconds, the others in seconds. They apply to TCP only: a Unix socket has none of them, so they are not checked.
_SOCKET = {
    "tcp_user_timeout": f"{_GONE_S * 1000}",
    "tcp_keepalives_idle": f"{_GONE_S // 2}",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": f"{_GONE_S // 2}",
}
_SETTINGS = _SESSION | _SOCKET
# The settings that a pooler knows and passes on.
_HANDED_ON = ("application_name", "timezone")
_CHECKED = [name for name in _SESSION if name not in _HANDED_ON]

# PostgreSQL went away, is full, is starting or stopping, is not the primary, or another session holds a lock: all of
# this passes with time. Any other error is a fault of Boss or of the set-up, and waiting does not help.
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
    # PostgreSQL sent something that makes no sense, as it may when it crashes.
    asyncpg.InternalClientError,
)
# PostgreSQL cannot store a value although JSON allows it, for instance a number of more than 131,072 digits.
_REFUSED = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)


class Pool(_Pool):
    """asyncpg's pool, and one more connection that is always at hand.

    While that one is free, a statement need not acquire one of the others, which takes 15 µs of our time.

    Args:
        url: the database's URL.
    """

    def __init__(self, url: str) -> None:
        self._hosts = _hosts(url)
        self._running_loop = asyncio.get_running_loop()
        self._at_hand: asyncpg.Connection[asyncpg.Record] | None = None
        self._in_use = False
        super().__init__(
            # No spare connections: asyncpg would log each failure to open one while the database is away.
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
        """Run a statement as a transaction of its own, until it is cancelled or `_STATEMENT_TIMEOUT_S` is over."""
        if self._in_use:
            async with _borrowed(self) as borrowed:
                return await borrowed.fetch(sql, *values)
        self._in_use, connection, timer = True, self._at_hand, None
        try:
            if connection is None or connection.is_closed():
                connection = await self._renew()
            # Abort the connection, as in _borrowed. A timer costs a third of what asyncio.timeout does.
            timer = self._running_loop.call_later(_STATEMENT_TIMEOUT_S, connection.terminate)
            return await connection.fetch(sql, *values)
        except BaseException as error:
            await self._after(error, timer)
            raise
        finally:
            self._in_use = False
            if timer:
                timer.cancel()

    async def _renew(self) -> "asyncpg.Connection[asyncpg.Record]":
        async with asyncio.timeout(_STATEMENT_TIMEOUT_S):
            self._at_hand = await self._hosts.connect()
        return self._at_hand

    async def _after(self, error: BaseException, timer: asyncio.TimerHandle | None) -> None:
        """Abort the connection at hand when its statement was cancelled; expire all connections when it timed out."""
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
        """How many of the connections are busy, and how many are idle."""
        at_hand = self._at_hand is not None and not self._at_hand.is_closed()
        busy = self.get_size() - self.get_idle_size() + (at_hand and self._in_use)
        return busy, self.get_size() + at_hand - busy


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Pool]:
    """A connection pool to the PostgreSQL at `url`, closed at the end of the block.

    Raises:
        DatabaseAway: no connection can be made.
        StartError: it is not a URL, or it leads to a pooler that does not give us sessions of our own.
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
    """The hosts of a URL, shared by all connections to it."""
    return Hosts(url, _SETTINGS)


# Prepared statements, session settings and LISTEN are lost when each transaction gets another session.
_POOLER = (
    "there is a pooler such as PgBouncer in front of this PostgreSQL, and it gives Boss no sessions of its own: {}. "
    "Give Boss PostgreSQL's own address. (Or let the pooler keep sessions and settings: pool_mode = session, "
    f"ignore_startup_parameters = {','.join([*_CHECKED, *_SOCKET])}, and ALTER ROLE … SET for these)"
)


async def _check_session(pool: Pool) -> None:
    """Check that our settings are in effect: a pooler in between may drop them."""
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
    """Do not reset a connection that goes back to the pool: that would cost a round trip for every statement.

    Our statements leave nothing behind in a session.
    """


@contextmanager
def translated() -> Iterator[None]:
    """Translate those errors of PostgreSQL that are about the values sent, or that pass with time.

    Raises:
        BadInput: PostgreSQL cannot store one of the values.
        DatabaseAway: PostgreSQL does not answer, or another session holds a lock.
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
    # A server in recovery has no unlogged tables (ours is `waiting`), and says so in this way. A load balancer may lead
    # to one just before it is promoted. Subclasses of this error are about something else.
    if (
        isinstance(error, _AWAY)
        or type(error) is asyncpg.FeatureNotSupportedError
        or (isinstance(error, asyncpg.InterfaceError) and _CLOSED.search(str(error)))
    ):
        return DatabaseAway(DATABASE_AWAY)
    return None


# asyncpg's messages about a connection that was just lost. Its other InterfaceErrors are faults of ours.
_CLOSED = re.compile(r"\bclos|released back to the pool")


def _said(error: Exception) -> str:
    return f"it did not answer within {_STATEMENT_TIMEOUT_S} s" if isinstance(error, TimeoutError) else in_a_line(error)


async def fetch(database: Database, statement: Statement, *values: object) -> list[asyncpg.Record]:
    """Run one statement. Over a pool it is a transaction of its own, and has committed when this returns.

    Raises:
        BadInput: PostgreSQL cannot store one of the values; nothing was done.
        DatabaseAway: PostgreSQL does not answer; whether the statement was done is not known.
    """
    tries, started = 0, time.perf_counter()
    run = database.run if isinstance(database, Pool) else partial(_run_in_transaction, database)
    while True:
        try:
            rows = await run(statement.sql, values)
        except asyncpg.DeadlockDetectedError:
            # Two replicas locked the same jobs in opposite order, and PostgreSQL rolled ours back: run it again.
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
        async with asyncio.timeout(_STATEMENT_TIMEOUT_S):
            return await connection.fetch(sql, *values)
    except TimeoutError:
        connection.terminate()
        raise


@asynccontextmanager
async def _borrowed(pool: Pool, seconds: float = _STATEMENT_TIMEOUT_S) -> AsyncIterator[Connection]:
    """A connection of the pool for so many seconds. Then, or when we are cancelled, the connection is aborted.

    asyncpg by itself asks the server to cancel the statement and waits for that; a frozen server never does it.
    """
    connection = None
    try:
        async with asyncio.timeout(seconds):
            connection = await pool.acquire()
            try:
                yield connection
            except asyncio.CancelledError:
                _abort(connection)
                raise
    except TimeoutError:
        # If the server's machine is gone, the other connections are dead too.
        await pool.expire_connections()
        raise
    finally:
        if connection:
            await pool.release(connection)


def _abort(connection: Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # it was lost, and so is back in the pool already
        connection.terminate()


@cache
def _times(statement: Statement) -> Histogram:
    """The histogram of a statement's durations."""
    return metrics.STATEMENTS.labels(statement.name)


@asynccontextmanager
async def transaction(pool: Pool, seconds: float = _STATEMENT_TIMEOUT_S) -> AsyncIterator[Connection]:
    """A connection for several statements in one transaction, which is committed at the end of the block.

    Args:
        pool: the connection pool.
        seconds: how long the transaction may take.

    Raises:
        DatabaseAway: PostgreSQL does not answer, or had to break a deadlock. If that happens during the commit, it is
            not known whether the transaction was done.
    """
    try:
        with translated():
            async with _borrowed(pool, seconds) as connection, _committed(connection):
                yield connection
    except asyncpg.DeadlockDetectedError as error:
        raise DatabaseAway("another request changed the same jobs at the same time; send the request again") from error


@asynccontextmanager
async def _committed(connection: Connection) -> AsyncIterator[None]:
    # asyncpg's own block would turn a cancellation into another error once the connection is aborted.
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    except asyncio.CancelledError:
        # A rollback would have to wait for the server; the connection is aborted instead.
        raise
    except BaseException:
        try:
            await transaction.rollback()
        except (*_AWAY, asyncpg.PostgresError, asyncpg.InterfaceError):
            _abort(connection)
        raise
    await transaction.commit()


async def listen(url: str, channel: str, hear: Callable[[str], None], lost: Callable[[], None]) -> Connection:
    """Open a connection that listens: `hear` gets the payload of every NOTIFY, and `lost` is called when it ends.

    Raises:
        DatabaseAway: the connection cannot be made.
    """
    with translated():
        connection = await _hosts(url).connect()
        connection.add_termination_listener(lambda _: lost())
        try:
            async with asyncio.timeout(_STATEMENT_TIMEOUT_S):
                await connection.add_listener(channel, lambda *heard: hear(str(heard[3])))
        except BaseException:
            connection.terminate()
            raise
        return connection
