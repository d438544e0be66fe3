"""Background tasks: they run beside the requests, for as long as a block lasts."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

# How long a cancelled task may go on before it is cancelled again, in seconds.
_CANCEL_AGAIN_S = 1.0


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine as a task until the block is left; return once the task has ended.

    A cancellation can get lost. In CPython 3.11 `wait_for` swallows one that comes as its timeout expires
    (python/cpython#86296). A database connection that breaks while it returns to its pool turns one into an error of
    its own, after which an endless task would begin its next round. So the task is cancelled until it ends.
    """
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_CANCEL_AGAIN_S)
        if not task.cancelled():
            task.result()
