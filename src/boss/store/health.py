"""What tells how well the database does its work, at a cost that grows with what is active, never with history."""

import json

from boss.database import Pool, fetch
from boss.health import Facts, Waiting

# Each source's first ready job of its highest priority: which is the one that a take of the source would get.
OLDEST_AVAILABLE = """
SELECT coalesce(json_agg(json_build_array(
           shelf.source, extract(epoch FROM now() - head.submitted_at), shelf.active)), '[]')
FROM (SELECT source,
             sum(jobs) FILTER (WHERE status = 'AVAILABLE') AS available,
             coalesce(sum(jobs) FILTER (WHERE status = 'ACTIVE'), 0) AS active
      FROM tally
      GROUP BY source) AS shelf
CROSS JOIN LATERAL (
    SELECT submitted_at
    FROM job
    WHERE status = 'AVAILABLE' AND due_at IS NULL AND source = shelf.source
    ORDER BY priority DESC, position
    LIMIT 1
) AS head
WHERE shelf.available > 0
"""

# What we may not see of other users' transactions is NULL, and left out.
EXAMINE = f"""
SELECT (SELECT array_agg(name || ' is ' || setting)
        FROM pg_settings
        WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'autovacuum')
          AND setting = 'off') AS settings,
       oldest.seconds AS transaction,
       oldest.owner AS transaction_of,
       table_stats.n_dead_tup AS dead,
       (SELECT coalesce(sum(jobs), 0)::bigint FROM tally) AS live,
       pg_total_relation_size('job') AS bytes,
       ({OLDEST_AVAILABLE}) AS available,
       extract(epoch FROM now() - longest.taken_at)::float8 AS active,
       longest.address AS active_at,
       (SELECT extract(epoch FROM now() - min(lease_until))::float8
        FROM job
        WHERE status = 'ACTIVE' AND lease_until <= now()) AS expired,
       (SELECT extract(epoch FROM now() - min(due_at))::float8
        FROM job
        WHERE status = 'AVAILABLE' AND due_at <= now()) AS late,
       (SELECT count(*) FROM waiting) AS replicas
FROM pg_stat_user_tables AS table_stats
LEFT JOIN (
    SELECT extract(epoch FROM now() - since)::float8 AS seconds, owner
    FROM (SELECT xact_start AS since,
                 'process ' || pid || ' (' || concat_ws(', ', usename, nullif(application_name, ''), state) || ')'
                     AS owner
          FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
            AND backend_type = 'client backend'
          UNION ALL
          SELECT prepared, 'prepared transaction ' || gid
          FROM pg_prepared_xacts
          WHERE database = current_database()) AS open
    ORDER BY since
    LIMIT 1
) AS oldest ON true
LEFT JOIN (
    SELECT taken_at, '/job/active/' || source || '/' || id AS address
    FROM job
    WHERE status = 'ACTIVE'
    ORDER BY taken_at
    LIMIT 1
) AS longest ON true
WHERE table_stats.relid = 'job'::regclass
"""


async def examine(pool: Pool) -> Facts:
    """Everything at one moment."""
    [row] = await fetch(pool, EXAMINE)
    return Facts(
        settings=row["settings"] or [],
        transaction=row["transaction"],
        transaction_of=row["transaction_of"] or "",
        dead=row["dead"],
        live=row["live"],
        bytes=row["bytes"],
        available=[Waiting(*each) for each in json.loads(row["available"])],
        active=row["active"],
        active_at=row["active_at"] or "",
        expired=row["expired"],
        late=row["late"],
        replicas=row["replicas"],
    )


REACH = """
SELECT 1
"""


async def reach(pool: Pool) -> None:
    """Return when PostgreSQL answers."""
    await fetch(pool, REACH)
