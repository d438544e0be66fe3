"""What has to be done without anybody asking: one duty, one function, each right if several replicas do it at once."""

import asyncio
import logging

from boss import store
from boss.database import Pool
from boss.errors import DatabaseAway

log = logging.getLogger("boss")

# The longest time between two sweeps, in seconds, and so how late another replica's delayed job may be.
_INTERVAL = 1.0
# Rows a statement, so that none holds its locks for long.
_BATCH = 1000


async def sweep_forever(pool: Pool) -> None:
    """Sweep until cancelled: every second, and as soon as a delayed job is due."""
    while True:
        pause = _INTERVAL
        try:
            await make_due(pool)
            await store.fold_tally(pool)
            next_due = await store.seconds_to_next_due(pool)
            if next_due is not None:
                pause = min(_INTERVAL, max(next_due, 0.0))
        except DatabaseAway:
            log.warning("the sweep is put off: the database is away")
        except Exception:
            log.exception("a sweep failed; the next one tries again")
        await asyncio.sleep(pause)


async def make_due(pool: Pool) -> None:
    """Make every delayed job whose time has come ready to be taken."""
    while await store.make_due(pool, _BATCH) == _BATCH:
        pass
