"""Reads: jobs by their ids, and whether there is a job to take."""

from collections.abc import Sequence
from datetime import datetime

from boss.model.job import Job, Location, State
from boss.postgres.connection import Pool, fetch
from boss.postgres.sizes import text_of
from boss.postgres.statement import LEASE, READY, Statement, probe

READ = Statement(
    "read",
    f"""
SELECT id, source, status, {text_of("document")} AS document, attempt FROM job WHERE id = ANY($1::text[])
""",
)


async def read(pool: Pool, ids: Sequence[str]) -> dict[str, Job]:
    """The jobs with these ids, in any state, by id."""
    return {
        row["id"]: Job(
            id=row["id"],
            source=row["source"],
            state=State[row["status"]],
            document=row["document"],
            attempt=row["attempt"],
        )
        for row in await fetch(pool, READ, ids)
    }


LOCATE = Statement(
    "locate",
    f"""
SELECT id, source, status, attempt, {LEASE} FROM job WHERE id = ANY($1::text[])
""",
)


async def locate(pool: Pool, ids: Sequence[str]) -> dict[str, Location]:
    """Where the jobs with these ids are, by id: like `read`, without the documents."""
    return {
        row["id"]: Location(
            source=row["source"], state=State[row["status"]], attempt=row["attempt"], lease=row["lease"]
        )
        for row in await fetch(pool, LOCATE, ids)
    }


# Ordered like a take, so that PostgreSQL uses the index of a take.
ANY_READY = Statement(
    "any_ready",
    f"""
SELECT FROM ONLY job WHERE {READY} ORDER BY priority DESC, position LIMIT 1
""",
)
ANY_READY_OF_SOURCE = Statement(
    "any_ready_of_source",
    f"""
SELECT FROM ONLY job
WHERE {READY} AND {probe("source", "$1")}
ORDER BY source, priority DESC, position
LIMIT 1
""",
)


async def any_ready(pool: Pool, source: str | None) -> bool:
    """Whether a take from this source, from any when None, would find a job."""
    rows = await fetch(pool, ANY_READY) if source is None else await fetch(pool, ANY_READY_OF_SOURCE, source)
    return bool(rows)


DATABASE_TIME = Statement("database_time", "SELECT now() AS time")


async def database_time(pool: Pool) -> datetime:
    """The database's time, by which everything in it goes."""
    [row] = await fetch(pool, DATABASE_TIME)
    time: datetime = row["time"]
    return time
