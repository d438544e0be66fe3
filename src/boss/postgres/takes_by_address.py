"""Takes by address: of one given job, due or not."""

from collections.abc import Sequence

from boss.model.document import MOST_TEXT
from boss.model.job import Take
from boss.postgres.connection import Pool, fetch
from boss.postgres.dependents import BLOCKED
from boss.postgres.sizes import size_of, with_note
from boss.postgres.statement import Statement, probe
from boss.postgres.take_given import take_given
from boss.postgres.takes import Handout, handout, slots
from boss.postgres.takes_within_limits import SPENT

_ANY_NUMBER = 2**31


def _statement(name: str, asked: str, before: str = "", spent: str = "") -> Statement:
    """Build a take of the jobs in `asked`, each with its slot, whose documents have at most MOST_TEXT bytes together.

    The statement waits for jobs that another transaction has locked.
    """
    return Statement(
        name,
        f"""
WITH {before}asked AS MATERIALIZED ({asked}
), head AS MATERIALIZED (
    SELECT job.id, asked.slot, {with_note(size_of("document"))} AS bytes
    FROM asked
    JOIN ONLY job ON {probe("job.id", "asked.id")} AND job.source = asked.source
    WHERE job.status || '' = 'AVAILABLE' AND job.due_at IS DISTINCT FROM {BLOCKED}
    ORDER BY asked.id
    FOR UPDATE OF job
), fitting AS MATERIALIZED (
    SELECT id, slot, bytes, sum(bytes) OVER (ORDER BY slot) AS total FROM head
), given AS (
    SELECT id, slot
    FROM unnest(ARRAY(SELECT id FROM fitting WHERE total <= {MOST_TEXT} ORDER BY slot),
                ARRAY(SELECT slot FROM fitting WHERE total <= {MOST_TEXT} ORDER BY slot)) AS given(id, slot)
), unfit AS (
    SELECT id, bytes FROM fitting WHERE total > {MOST_TEXT}
){take_given(spent)}""",
    )


_ASKED = """
    SELECT id, source, slot FROM unnest($5::text[], $6::text[]) WITH ORDINALITY AS asked(id, source, slot)"""

TAKE_BY_ADDRESS = _statement("take_by_address", _ASKED)
# Takes no more of each source than it has room for. The condition on the attempt, which no index has, keeps PostgreSQL
# from reading an index from end to end instead of the jobs.
TAKE_BY_ADDRESS_WITHIN_LIMITS = _statement(
    "take_by_address_within_limits",
    f"""
    SELECT id, source, slot
    FROM (SELECT asked.*, row_number() OVER (PARTITION BY asked.source ORDER BY asked.slot) AS turn,
                 (SELECT coalesce(room, {_ANY_NUMBER}) FROM room WHERE room.source = asked.source) AS room
          FROM ({_ASKED}) AS asked
          JOIN ONLY job ON job.id = ANY(ARRAY[asked.id]) AND job.source = asked.source
                  AND job.status || '' = 'AVAILABLE' AND job.attempt >= 0) AS available
    WHERE turn <= room""",
    "room AS MATERIALIZED (SELECT source, room FROM room_for_take(ARRAY(SELECT DISTINCT unnest($6::text[])))), ",
    SPENT,
)


async def take_by_address(pool: Pool, is_limited: bool, asked: Sequence[tuple[str, Take]]) -> Handout:
    """Make these jobs active if they are available, due or not; return a job or none for each.

    Args:
        pool: the connection pool.
        is_limited: whether to apply the limit of their source, which must be the same for all.
        asked: distinct ids, each with a take that names the job's source.
    """
    takes = [take for _, take in asked]
    statement = TAKE_BY_ADDRESS_WITHIN_LIMITS if is_limited else TAKE_BY_ADDRESS
    rows = await fetch(pool, statement, *slots(takes), [id for id, _ in asked], [take.source for take in takes])
    return handout(rows, takes, range(len(takes)))
