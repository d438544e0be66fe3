"""Jobs that PostgreSQL refuses to change stop none of the others that are in the same statement."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import asyncpg

from boss.errors import BadInput


class Applied(NamedTuple):
    """How many jobs were changed, and those that cannot be: what PostgreSQL says, by id."""

    jobs: int
    refused: dict[str, str]


async def apply_to_each(change: Callable[[Sequence[str]], Awaitable[int]], ids: Sequence[str]) -> Applied:
    """Change these jobs by one statement, and by more when it fails, until those that make it fail are found.

    Args:
        change: changes the jobs with these ids, and returns how many it changed.
        ids: the ids of the jobs.
    """
    if not ids:
        return Applied(0, {})
    try:
        return Applied(await change(ids), {})
    except asyncpg.TransactionRollbackError:
        raise
    except (asyncpg.PostgresError, BadInput) as error:
        if len(ids) == 1:
            return Applied(0, {ids[0]: str(error)})
    half = len(ids) // 2
    one, other = [await apply_to_each(change, some) for some in (ids[:half], ids[half:])]
    return Applied(one.jobs + other.jobs, one.refused | other.refused)
