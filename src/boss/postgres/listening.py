"""A connection that hears notifications."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from boss.postgres.connection import STATEMENT_TIMEOUT_S, Connection, hosts, translated


async def listen(url: str, hear: Mapping[str, Callable[[str], None]], lost: Callable[[], None]) -> Connection:
    """Open a connection that listens.

    Args:
        url: the database's URL.
        hear: by channel, what is called with the payload of every NOTIFY.
        lost: called when the connection ends.

    Raises:
        DatabaseAway: the connection cannot be made.
    """
    with translated():
        connection = await hosts(url).connect()
        connection.add_termination_listener(lambda _: lost())
        try:
            async with asyncio.timeout(STATEMENT_TIMEOUT_S):
                for channel, heard in hear.items():
                    await connection.add_listener(channel, partial(_heard, heard))
        except BaseException:
            connection.terminate()
            raise
        return connection


def _heard(hear: Callable[[str], None], _connection: object, _pid: object, _channel: object, payload: object) -> None:
    hear(str(payload))
