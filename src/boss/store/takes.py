"""Taking jobs: making available ones active, each for one taker.

A take looks from the start of the queue, or past marks (marks.py) where dead rows at the start make that slow.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, islice

from asyncpg import Record

from boss.database import Database, Pool, fetch, transaction
from boss.job import Job, State, Take, Taken
from boss.marks import Mark

# The head of the queue is fenced in a MATERIALIZED CTE: were it folded into the UPDATE, the planner might run it again
# for each row and take more jobs than asked for. SKIP LOCKED passes over what another replica is taking right now; the
# design's literal query waited for it and then took it a second time. The turn says whose job it is: takers differ in
# lease and key. It is also the order of the queue, which RETURNING does not keep, so it is put back at the end. The
# head goes through an array because the planner knows nothing of a LIMIT that comes as a parameter: it would expect a
# tenth of all ready jobs, and read the whole table to join them.
_TAKE = """
, taken AS (
    UPDATE job
    SET status = 'ACTIVE', attempt = attempt + 1, taken_at = now(), seen_at = now(),
        lease = given.lease,
        lease_until = CASE WHEN given.lease > 0 THEN now() + given.lease * interval '1 second' END,
        take_key = given.key
    FROM (SELECT id, turn, ($1::int[])[turn] AS lease, ($2::text[])[turn] AS key FROM turns) AS given
    WHERE job.id = given.id
    RETURNING job.id, job.source, job.document::text, job.attempt, job.lease, job.taken_at, job.priority, job.position,
              job.traceparent, given.turn
)
SELECT id, source, document, attempt, lease, taken_at, priority, position, traceparent FROM taken ORDER BY turn
"""
_TURNS = """
), turns AS (
    SELECT id, turn
    FROM unnest(ARRAY(SELECT id FROM head ORDER BY priority DESC, position)) WITH ORDINALITY AS given(id, turn)
)"""

TAKE = (
    """
-- take
WITH head AS MATERIALIZED (
    SELECT id, priority, position
    FROM job
    WHERE status = 'AVAILABLE' AND due_at IS NULL
    ORDER BY priority DESC, position
    LIMIT cardinality($1::int[])
    FOR UPDATE SKIP LOCKED"""
    + _TURNS
    + _TAKE
)

# The marks come with the highest priority first, and no more of them are gone through than needed.
TAKE_PAST_MARKS = (
    """
-- take_past_marks
WITH head AS MATERIALIZED (
    SELECT ready.id, ready.priority, ready.position
    FROM unnest($3::smallint[], $4::bigint[]) AS mark(priority, position)
    CROSS JOIN LATERAL (
        SELECT id, priority, position
        FROM job
        WHERE status = 'AVAILABLE' AND due_at IS NULL AND priority = mark.priority AND position > mark.position
        ORDER BY position
        LIMIT cardinality($1::int[])
        FOR UPDATE SKIP LOCKED
    ) AS ready
    LIMIT cardinality($1::int[])"""
    + _TURNS
    + _TAKE
)


async def take(database: Database, takes: Sequence[Take], marks: Sequence[Mark] = ()) -> list[list[Taken]]:
    """Make the first ready jobs of any source active, as many as these takes ask for.

    Args:
        database: a pool, or a connection in a transaction.
        takes: for any source.
        marks: when there are some, look only past them: jobs of other priorities are not found.

    Returns what each take got, in order of the takes and of the queue.
    """
    if marks:
        places = [mark.priority for mark in marks], [mark.position for mark in marks]
        rows = iter(await fetch(database, TAKE_PAST_MARKS, *_slots(takes), *places))
    else:
        rows = iter(await fetch(database, TAKE, *_slots(takes)))
    return [[_taken(row) for row in islice(rows, take.limit)] for take in takes]


_TURNS_OF_SOURCES = """
), numbered AS MATERIALIZED (
    SELECT id, slots_before + row_number() OVER (PARTITION BY slots_before ORDER BY priority DESC, position) AS turn
    FROM head
), turns AS (
    SELECT id, turn
    FROM unnest(ARRAY(SELECT id FROM numbered ORDER BY turn), ARRAY(SELECT turn FROM numbered ORDER BY turn))
         AS given(id, turn)
)"""

TAKE_OF_SOURCES = (
    """
-- take_of_sources
WITH head AS MATERIALIZED (
    SELECT ready.id, ready.priority, ready.position, asked.slots_before
    FROM unnest($3::text[], $4::int[], $5::int[]) AS asked(source, jobs, slots_before)
    CROSS JOIN LATERAL (
        SELECT id, priority, position
        FROM job
        WHERE status = 'AVAILABLE' AND due_at IS NULL AND source = asked.source
        ORDER BY priority DESC, position
        LIMIT asked.jobs
        FOR UPDATE SKIP LOCKED
    ) AS ready"""
    + _TURNS_OF_SOURCES
    + _TAKE
)

TAKE_OF_SOURCES_PAST_MARKS = (
    """
-- take_of_sources_past_marks
WITH head AS MATERIALIZED (
    SELECT ready.id, ready.priority, ready.position, asked.slots_before
    FROM unnest($3::text[], $4::int[], $5::int[]) AS asked(source, jobs, slots_before)
    CROSS JOIN LATERAL (
        SELECT of_priority.id, of_priority.priority, of_priority.position
        FROM unnest($6::text[], $7::smallint[], $8::bigint[]) AS mark(source, priority, position)
        CROSS JOIN LATERAL (
            SELECT id, priority, position
            FROM job
            WHERE status = 'AVAILABLE' AND due_at IS NULL
              AND source = mark.source AND priority = mark.priority AND position > mark.position
            ORDER BY position
            LIMIT asked.jobs
            FOR UPDATE SKIP LOCKED
        ) AS of_priority
        WHERE mark.source = asked.source
        LIMIT asked.jobs
    ) AS ready"""
    + _TURNS_OF_SOURCES
    + _TAKE
)


async def take_of_sources(database: Database, takes: Sequence[Take], marks: Sequence[Mark] = ()) -> list[list[Taken]]:
    """As `take`, for takes that each name a source; with marks, jobs of sources that have none are not found."""
    of_source: dict[str | None, list[Take]] = {}
    for take in takes:
        of_source.setdefault(take.source, []).append(take)
    jobs = [sum(take.limit for take in group) for group in of_source.values()]
    slots_before = list(accumulate(jobs[:-1], initial=0))
    slots = _slots([take for group in of_source.values() for take in group])
    asked = *slots, list(of_source), jobs, slots_before
    if marks:
        rows = await fetch(database, TAKE_OF_SOURCES_PAST_MARKS, *asked, *zip(*marks, strict=True))
    else:
        rows = await fetch(database, TAKE_OF_SOURCES, *asked)
    got: dict[str | None, list[Taken]] = {source: [] for source in of_source}
    for row in reversed(rows):
        got[row["source"]].append(_taken(row))
    return [[got[take.source].pop() for _ in range(min(take.limit, len(got[take.source])))] for take in takes]


def _slots(takes: Sequence[Take]) -> tuple[list[int], list[str | None]]:
    """The lease and the key of every job that may be taken. Without any key the keys are left out."""
    leases = [take.lease for take in takes for _ in range(take.limit)]
    keys = [take.key for take in takes for _ in range(take.limit)] if any(take.key for take in takes) else []
    return leases, keys


TAKE_BY_ADDRESS = """
-- take_by_address
UPDATE job
SET status = 'ACTIVE', attempt = attempt + 1, taken_at = now(), seen_at = now(),
    lease = asked.lease,
    lease_until = CASE WHEN asked.lease > 0 THEN now() + asked.lease * interval '1 second' END,
    take_key = asked.key
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[]) AS asked(id, source, lease, key)
WHERE job.id = asked.id AND job.source = asked.source AND status = 'AVAILABLE'
RETURNING job.id, job.source, job.document::text, job.attempt, job.lease, job.taken_at, job.priority, job.position,
          job.traceparent
"""


async def take_by_address(pool: Pool, asked: Mapping[str, Take]) -> dict[str, Taken]:
    """Make these jobs, each an id with a take that names its source, active if they are available, due or not.

    Returns those that were, by id.
    """
    takes = asked.values()
    columns = [take.source for take in takes], [take.lease for take in takes], [take.key for take in takes]
    return {row["id"]: _taken(row) for row in await fetch(pool, TAKE_BY_ADDRESS, list(asked), *columns)}


# Locked in order of the key, so that two replicas lock in the same order.
LOCK_KEYS = """
-- lock_keys
SELECT pg_advisory_xact_lock(hashtextextended(key, 0)) FROM (SELECT unnest($1::text[]) AS key ORDER BY 1) AS asked
"""


async def take_once_per_key(pool: Pool, takes: Sequence[Take]) -> list[list[Taken]]:
    """As `take` and `take_of_sources`, for takes with keys, each another.

    A take whose key still holds jobs gets those again, and nothing else. The keys are locked until all is
    committed: the same take sent to two replicas at once takes once.
    """
    keys = [take.key for take in takes if take.key]
    async with transaction(pool) as connection:
        await fetch(connection, LOCK_KEYS, keys)
        got = await take_again(connection, keys)
        new = [take for take in takes if take.key not in got]
        for take_new in (take, take_of_sources):
            asked = [each for each in new if (each.source is None) == (take_new is take)]
            if asked:
                got |= {
                    each.key or "": jobs for each, jobs in zip(asked, await take_new(connection, asked), strict=True)
                }
    return [got[each.key or ""] for each in takes]


# Its taker was heard of just now, so this renews as a check does; and it keeps `untake` from giving back what was
# handed out a second time.
TAKE_AGAIN = """
-- take_again
UPDATE job
SET seen_at = now(), lease_until = CASE WHEN lease > 0 THEN now() + lease * interval '1 second' END
WHERE status = 'ACTIVE' AND take_key = ANY($1::text[])
RETURNING id, source, document::text, attempt, lease, taken_at, priority, position, traceparent, take_key
"""


async def take_again(database: Database, keys: Sequence[str]) -> dict[str, list[Taken]]:
    """The jobs that are still held by takes with these keys, in order of the queue, by key."""
    got: dict[str, list[Taken]] = {}
    rows = await fetch(database, TAKE_AGAIN, keys)
    for row in sorted(rows, key=lambda row: (-row["priority"], row["position"])):
        got.setdefault(row["take_key"], []).append(_taken(row))
    return got


def _taken(row: Record) -> Taken:
    """Every statement here returns these columns, in this order; a row's names are slower to look up."""
    id, source, document, attempt, lease, taken_at, priority, position, traceparent = row[:9]
    return Taken(Job(id, source, State.ACTIVE, document, attempt, traceparent), lease, taken_at, priority, position)


# The time of the take names it: whoever took the job later is not touched, however often this is sent.
UNTAKE = """
-- untake
UPDATE job
SET status = 'AVAILABLE', attempt = attempt - 1, taken_at = NULL, seen_at = NULL, lease_until = NULL, take_key = NULL
FROM unnest($1::text[], $2::timestamptz[]) AS unheard(id, taken_at)
WHERE job.id = unheard.id AND status = 'ACTIVE' AND job.taken_at = unheard.taken_at AND seen_at = job.taken_at
RETURNING job.id
"""


async def untake(pool: Pool, takes: Sequence[Taken]) -> set[str]:
    """Undo takes whose taker never heard of them: the attempts as well are as before. Returns the ids undone."""
    takes = sorted(takes, key=lambda taken: taken.job.id)
    ids, times = [taken.job.id for taken in takes], [taken.at for taken in takes]
    return {row["id"] for row in await fetch(pool, UNTAKE, ids, times)}
