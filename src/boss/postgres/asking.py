"""When takers last asked for the jobs of each source (0019_source_history.sql)."""

from collections.abc import Sequence

from boss.model.overview import Asked
from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Statement

# A client may ask for any name, so only those of sources are recorded. In their order, so that two replicas lock them
# in the same one.
RECORD_ASKED = Statement(
    "record_asked",
    """
WITH forgotten AS (
    DELETE FROM source_asked WHERE at < now() - interval '1 day' AND source <> ALL ($1)
)
INSERT INTO source_asked AS known (source, at)
SELECT DISTINCT source, now()
FROM unnest($1::text[]) AS asked(source)
WHERE source = '' OR source IN (SELECT source FROM tally)
ORDER BY source
ON CONFLICT (source) DO UPDATE SET at = greatest(known.at, excluded.at)
""",
)


async def record_asked(pool: Pool, sources: Sequence[str]) -> None:
    """Record that takers ask for jobs of these sources; of any for ''."""
    await fetch(pool, RECORD_ASKED, sources)


ASKED = Statement(
    "asked",
    """
SELECT now() AS now, source, at FROM (SELECT) AS one LEFT JOIN source_asked ON true
""",
)


async def asked(pool: Pool) -> Asked:
    """When takers last asked, and the database's time."""
    rows = await fetch(pool, ASKED)
    return Asked(rows[0]["now"], {row["source"]: row["at"] for row in rows if row["source"] is not None})
