"""The converters that were heard of, and the jobs that they hold."""

from collections.abc import Sequence
from typing import NamedTuple

from boss.model.converter import KnownConverter
from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Arrays, Statement

# The most converters that are known. A client may send any name.
_MOST = 10_000


class Heard(NamedTuple):
    """The takes of one converter since they were last recorded.

    Attributes:
        name: its name.
        sources: the sources that it last took from, separated by commas; None for any.
        taken: how many jobs it has taken.
        ago: how many seconds ago it was heard last.
    """

    name: str
    sources: str | None
    taken: int
    ago: float


_HEARD = Arrays(name="text", sources="text", taken="bigint", ago="float8")
# In order of name, so that two replicas with the same converters lock them in the same order.
RECORD_CONVERTERS = Statement(
    "record_converters",
    f"""
WITH forgotten AS (
    DELETE FROM converter
    WHERE name IN (SELECT name FROM converter
                   WHERE heard < now() - interval '1 hour'
                      OR heard < (SELECT heard FROM converter ORDER BY heard DESC OFFSET {_MOST} LIMIT 1)
                   ORDER BY name
                   FOR UPDATE SKIP LOCKED)
      AND name <> ALL ($1)
)
INSERT INTO converter AS known (name, sources, taken, heard)
SELECT name, sources, taken, now() - make_interval(secs => ago)
FROM {_HEARD.unnest} AS asked({_HEARD.names})
ORDER BY name
ON CONFLICT (name) DO UPDATE
SET sources = excluded.sources, taken = known.taken + excluded.taken, heard = greatest(known.heard, excluded.heard)
""",
)


async def record_converters(pool: Pool, heard: Sequence[Heard]) -> None:
    """Record that these converters, whose names are distinct, were heard of; forget those silent for an hour."""
    await fetch(pool, RECORD_CONVERTERS, *_HEARD.of(heard))


CONVERTERS = Statement(
    "converters",
    """
SELECT name, CASE WHEN known.heard IS NULL THEN held.sources ELSE known.of_sources END AS sources,
       coalesce(held.jobs, 0) AS holds, greatest(known.taken, held.jobs) AS taken,
       greatest(known.heard, held.seen) AS heard
FROM (SELECT *, CASE WHEN sources IS NOT NULL THEN ARRAY(
                        SELECT source FROM unnest(string_to_array(sources, ',')) AS source
                        WHERE $1::text[] IS NULL OR source = ANY($1)) END AS of_sources
      FROM converter
      WHERE heard > now() - interval '1 hour' AND ($1::text[] IS NULL OR string_to_array(sources, ',') && $1)) AS known
FULL JOIN (
    SELECT converter AS name, count(*) AS jobs, max(seen_at) AS seen,
           array_agg(DISTINCT source::text ORDER BY source::text) AS sources
    FROM ONLY job
    WHERE status = 'ACTIVE' AND converter IS NOT NULL AND ($1::text[] IS NULL OR source = ANY($1))
    GROUP BY converter
) AS held USING (name)
ORDER BY name
""",
)


async def converters(pool: Pool, sources: Sequence[str] | None) -> list[KnownConverter]:
    """The converters that were heard of in the last hour or hold jobs, by name.

    Args:
        pool: the connection pool.
        sources: only those who take from these sources; None for all.
    """
    return [
        KnownConverter(
            name=row["name"],
            sources=None if row["sources"] is None else tuple(row["sources"]),
            holds=row["holds"],
            taken=row["taken"],
            heard=row["heard"],
        )
        for row in await fetch(pool, CONVERTERS, sources)
    ]
