"""Parts of Boss in tests that are held to nothing."""

from collections.abc import Callable, Coroutine

from boss.dispatch.dispatcher import Dispatcher
from boss.dispatch.handouts import Handouts
from boss.dispatch.scan_cursors import ScanCursors
from boss.dispatch.source_limits import Rules
from boss.dispatch.taker import Taking
from boss.dispatch.wait_queue import Line
from boss.postgres.connection import Pool


def no_rules(pool: Pool) -> Rules:
    """The rules of no source, and queues of any length."""
    return Rules(pool, 10**9, lambda: None)


def dispatcher_over(
    pool: Pool, line: Line, cursors: ScanCursors, announce: Callable[[], Coroutine[None, None, bool]]
) -> Dispatcher:
    """A dispatcher over these, without rules."""
    rules = no_rules(pool)
    return Dispatcher(
        pool, line, rules, Taking(pool, line, Handouts(pool, cursors, rules), rules, announce, most_waiting=1000)
    )
