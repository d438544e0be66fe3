"""What goes on beside the requests, for as long as a block lasts."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

# How long after its cancellation a task that goes on is cancelled again, in seconds.
_AGAIN = 1.0


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run it until the block is left; return once it is over.

    A cancellation can get lost on its way: in CPython 3.11 `wait_for` swallows one that comes as its time runs out
    (python/cpython#86296), and a connection that breaks as it is given back turns one into an error of its own, after
    which a duty that never ends would begin its next round. So it is cancelled until it ends.
    """
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_AGAIN)
        if not task.cancelled():
            task.result()
