"""The queue by source: delayed, blocked and ready jobs, and the first ready one. Jobs are counted up to a limit.

How many jobs are available is in the ledger, and few of them are usually delayed or blocked. So these are counted, and
the rest is ready. Only where there are too many of them, the ready ones of each source are counted, too.
"""

from boss.model.overview import MOST_READY, Survey, SurveyedQueue
from boss.postgres.connection import Pool, fetch
from boss.postgres.dependents import BLOCKED
from boss.postgres.statement import READY, Statement, probe

# The most delayed jobs, and the most blocked ones, that are counted one by one.
MOST_HELD = 10_000

# The delayed and the blocked jobs by source, and whether there are more than were counted.
DELAYED_AND_BLOCKED = f"""held AS MATERIALIZED (
    SELECT source, is_blocked, count(*) AS jobs
    FROM ((SELECT source, false AS is_blocked
           FROM ONLY job
           WHERE status = 'AVAILABLE' AND due_at IS NOT NULL AND due_at < {BLOCKED}
           ORDER BY due_at
           LIMIT {MOST_HELD + 1})
          UNION ALL
          (SELECT source, true
           FROM ONLY job
           WHERE status = 'AVAILABLE' AND due_at IS NOT NULL AND due_at >= {BLOCKED}
           ORDER BY due_at
           LIMIT {MOST_HELD + 1})) AS counted_one_by_one
    GROUP BY source, is_blocked
), held_more AS MATERIALIZED (
    SELECT coalesce(sum(jobs) FILTER (WHERE NOT is_blocked), 0) > {MOST_HELD} AS delayed,
           coalesce(sum(jobs) FILTER (WHERE is_blocked), 0) > {MOST_HELD} AS blocked,
           coalesce(greatest(sum(jobs) FILTER (WHERE NOT is_blocked), sum(jobs) FILTER (WHERE is_blocked)), 0)
               > {MOST_HELD} AS is_more
    FROM held
)"""
READY_OF_SOURCE = f"""SELECT count(*) AS jobs
                      FROM (SELECT FROM ONLY job
                            WHERE {READY} AND {probe("source", "{source}")}
                            ORDER BY source, priority DESC, position
                            LIMIT {MOST_READY}) AS first"""
SURVEY = Statement(
    "survey",
    f"""
WITH {DELAYED_AND_BLOCKED}
SELECT counted.source, available, coalesce(delayed.jobs, 0) AS delayed, coalesce(blocked.jobs, 0) AS blocked,
       CASE WHEN is_more THEN ({READY_OF_SOURCE.format(source="counted.source")}) END AS ready,
       head.submitted_at AS oldest, held_more.delayed AS delayed_more, held_more.blocked AS blocked_more
FROM (SELECT source, sum(jobs)::bigint AS available FROM tally WHERE status = 'AVAILABLE' GROUP BY source) AS counted
CROSS JOIN held_more
LEFT JOIN held AS delayed ON delayed.source = counted.source AND NOT delayed.is_blocked
LEFT JOIN held AS blocked ON blocked.source = counted.source AND blocked.is_blocked
LEFT JOIN LATERAL (
    SELECT submitted_at
    FROM ONLY job
    WHERE {READY} AND {probe("source", "counted.source")}
    ORDER BY source, priority DESC, position
    LIMIT 1
) AS head ON true
WHERE available > 0
""",
)


async def survey(pool: Pool) -> Survey:
    """What waits in the queue, by source."""
    rows = await fetch(pool, SURVEY)
    sources = {row["source"]: SurveyedQueue(**{name: row[name] for name in SurveyedQueue._fields}) for row in rows}
    delayed_more, blocked_more = (bool(rows) and rows[0][name] for name in ("delayed_more", "blocked_more"))
    return Survey(sources, delayed_more, blocked_more)
