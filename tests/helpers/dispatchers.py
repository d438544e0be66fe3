"""Parts of Boss for tests without source limits."""

from collections.abc import Callable, Coroutine

from boss.dispatch.dispatcher import Dispatcher
from boss.dispatch.handouts import Handouts
from boss.dispatch.queries import Queries
from boss.dispatch.scan_cursors import ScanCursors
from boss.dispatch.source_limits import SourceLimits
from boss.dispatch.taker import Taker
from boss.dispatch.wait_queue import WaitQueue
from boss.postgres.connection import Pool


def no_limits(pool: Pool) -> SourceLimits:
    """Source limits that limit no source, with queues of any length."""
    return SourceLimits(pool, 10**9, lambda: None)


def dispatcher_over(
    pool: Pool, wait_queue: WaitQueue, cursors: ScanCursors, announce: Callable[[], Coroutine[None, None, bool]]
) -> Dispatcher:
    """A dispatcher without source limits."""
    limits = no_limits(pool)
    taker = Taker(pool, wait_queue, Handouts(pool, cursors, limits), limits, announce, most_waiting=1000)
    return Dispatcher(pool, wait_queue, limits, taker, Queries(pool, wait_queue, limits))
