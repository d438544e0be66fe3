"""The end of every take: it makes the jobs that were given to takers active, and returns them."""

from boss.postgres.statement import LEASE, probe, until_timeout

# A lease starts when it is granted, so it uses clock_timestamp(): now() is from before any wait for a lock.
_MAKE_ACTIVE = f""", taken AS (
    UPDATE ONLY job
    SET status = 'ACTIVE', attempt = attempt + 1, taken_at = given.now, seen_at = given.now, lease = given.lease,
        lease_until = {until_timeout("given.now + nullif(given.lease, 0) * interval '1 second'", "given.now")},
        take_key = given.key, taken_by = given.by, converter = given.converter
    FROM (SELECT id, slot, clock_timestamp() AS now,
                 ($1::int[])[slot] AS lease, ($2::text[])[slot] AS key, ($3::text[])[slot] AS by,
                 ($4::text[])[slot] AS converter
          FROM given) AS given
    WHERE {probe("job.id", "given.id")}
    RETURNING job.id, job.source, job.document::text, job.attempt, {LEASE}, job.taken_at, job.priority, job.position,
              job.traceparent, job.note::text, given.slot
)"""
_RETURN_TAKEN = """
SELECT id, source, document, attempt, lease, taken_at, priority, position, traceparent, note, slot,
       NULL::int AS bytes
FROM taken
UNION ALL
SELECT id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, bytes FROM unfit
ORDER BY slot
"""


def take_given(spent: str = "") -> str:
    """The end of a take. It returns the jobs taken, each with its slot, and those that did not fit, without a slot.

    Args:
        spent: SQL for a CTE that changes something for each job in `taken`, after a comma.
    """
    return f"\n{_MAKE_ACTIVE}{spent}{_RETURN_TAKEN}"
