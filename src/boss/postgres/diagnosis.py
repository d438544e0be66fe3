"""The facts for the diagnosis. Their cost grows with the active jobs, never with the done ones."""

from boss.model.diagnosis import Ages, Facts
from boss.model.document import MOST_TEXT
from boss.postgres.connection import Database, Pool, fetch
from boss.postgres.sizes import size_of
from boss.postgres.statement import READY, VOLUMES, Statement, probe, volume_table

# The first ready job of a source is the one that a take of the source would get. All active jobs are read; there are
# only as many as converters at work.
AGES = Statement(
    "ages",
    f"""
SELECT counted.source,
       extract(epoch FROM now() - head.submitted_at)::float8 AS available,
       extract(epoch FROM now() - held.taken_at)::float8 AS active
FROM (SELECT source, sum(jobs) FILTER (WHERE status = 'AVAILABLE') AS available FROM tally GROUP BY source) AS counted
LEFT JOIN LATERAL (
    SELECT submitted_at
    FROM ONLY job
    WHERE counted.available > 0 AND {READY} AND {probe("source", "counted.source")}
    ORDER BY source, priority DESC, position
    LIMIT 1
) AS head ON true
LEFT JOIN (
    SELECT source, min(taken_at) AS taken_at FROM ONLY job WHERE status = 'ACTIVE' GROUP BY source
) AS held ON held.source = counted.source
""",
)


async def ages(pool: Pool) -> list[Ages]:
    """The ages of the first ready job and of the oldest active job of each source."""
    return [Ages(**row) for row in await fetch(pool, AGES)]


# Other users' transactions that we may not see are NULL here, and so left out.
EXAMINE = Statement(
    "examine",
    """
SELECT (SELECT array_agg(name || ' is ' || setting)
        FROM pg_settings
        WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'autovacuum')
          AND setting = 'off') AS settings,
       oldest.seconds AS transaction,
       oldest.owner AS transaction_of,
       table_stats.n_dead_tup AS dead,
       (SELECT coalesce(sum(jobs), 0)::bigint FROM tally) AS live,
       pg_total_relation_size('job')
           + (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'job'::regclass)::bigint
           AS bytes,
       extract(epoch FROM now() - longest.taken_at)::float8 AS active,
       longest.address AS active_at,
       (SELECT extract(epoch FROM now() - min(lease_until))::float8
        FROM ONLY job
        WHERE status = 'ACTIVE' AND lease_until <= now()) AS expired,
       (SELECT extract(epoch FROM now() - min(due_at))::float8
        FROM ONLY job
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
    FROM ONLY job
    WHERE status = 'ACTIVE'
    ORDER BY taken_at
    LIMIT 1
) AS longest ON true
WHERE table_stats.relid = 'job'::regclass
""",
)


# Jobs that are too large to be read do harm at the head of the queue, while a converter has them, and among the last
# done jobs, which are shown. A known size costs nothing to check, and nearly all sizes are known.
UNREADABLE = Statement(
    "unreadable",
    f"""
SELECT '/job/' || lower(status) || '/' || source || '/' || id AS address
FROM (
    (SELECT * FROM ONLY job WHERE {READY} ORDER BY priority DESC, position LIMIT $1)
    UNION ALL
    (SELECT * FROM ONLY job WHERE status = 'ACTIVE' ORDER BY source, id LIMIT $1)
    UNION ALL
    (SELECT * FROM job WHERE status = 'DONE' ORDER BY finished_at DESC LIMIT $1)) AS shown
WHERE {size_of("document")} > {MOST_TEXT} OR {size_of("result")} > {MOST_TEXT}
LIMIT 10
""",
)
_SOME = 50

# Jobs are moved in the order in which they were finished (volumes.py). One that is older than some that were moved was
# left behind; one that is merely locked is moved within minutes.
_NEWEST = "\n          UNION ALL\n          ".join(
    f"(SELECT finished_at FROM {volume_table(volume)}\n"
    "           WHERE status = 'DONE' AND finished_at <= now() ORDER BY finished_at DESC LIMIT 1)"
    for volume in VOLUMES
)
LEFT_BEHIND = Statement(
    "left_behind",
    f"""
SELECT 'all, because of ' || conname || ' of ' || conrelid::regclass AS name
FROM pg_constraint
WHERE confrelid = 'job'::regclass AND contype = 'f' AND confdeltype NOT IN ('a', 'r')
UNION ALL
(SELECT '/job/done/' || source || '/' || id
 FROM ONLY job
 WHERE status = 'DONE' AND finished_at < interval '-10 minutes' + (
     SELECT max(finished_at)
     FROM ({_NEWEST}) AS newest)
 ORDER BY finished_at
 LIMIT 10)
""",
)


async def examine(pool: Pool) -> Facts:
    """Read the facts for a diagnosis."""
    [row] = await fetch(pool, EXAMINE)
    return Facts(
        settings=row["settings"] or [],
        transaction=row["transaction"],
        transaction_of=row["transaction_of"] or "",
        dead=row["dead"],
        live=row["live"],
        bytes=row["bytes"],
        ages=await ages(pool),
        active=row["active"],
        active_at=row["active_at"] or "",
        expired=row["expired"],
        late=row["late"],
        replicas=row["replicas"],
        unreadable=[each["address"] for each in await fetch(pool, UNREADABLE, _SOME)],
        left_behind=[each["name"] for each in await fetch(pool, LEFT_BEHIND)],
    )


REACH = Statement(
    "reach",
    """
SELECT 1
""",
)


async def reach(database: Database) -> None:
    """Return when PostgreSQL answers."""
    await fetch(database, REACH)
