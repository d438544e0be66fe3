"""Taking jobs: making available ones active, each for one taker.

A take looks from the start of the queue, or past marks (marks.py) where dead rows at the start make that slow.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, islice

from asyncpg import Record

from boss.database import Connection, Database, Pool, fetch, transaction
from boss.job import Job, State, Take, Taken
from boss.marks import Mark
from boss.store.rules import allowed, has_room, lock_rules

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
        take_key = given.key, taken_by = given.by
    FROM (SELECT id, turn, ($1::int[])[turn] AS lease, ($2::text[])[turn] AS key, ($3::text[])[turn] AS by
          FROM turns) AS given
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
    FROM unnest($4::smallint[], $5::bigint[]) AS mark(priority, position)
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
    FROM unnest($4::text[], $5::int[], $6::int[]) AS asked(source, jobs, slots_before)
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
    FROM unnest($4::text[], $5::int[], $6::int[]) AS asked(source, jobs, slots_before)
    CROSS JOIN LATERAL (
        SELECT of_priority.id, of_priority.priority, of_priority.position
        FROM unnest($7::text[], $8::smallint[], $9::bigint[]) AS mark(source, priority, position)
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


def _slots(takes: Sequence[Take]) -> tuple[list[int], list[str | None], list[str | None]]:
    """The lease, the key and the token's name of every job that may be taken; where no take has one, none are sent."""
    leases = [take.lease for take in takes for _ in range(take.limit)]
    keys = [take.key for take in takes for _ in range(take.limit)] if any(take.key for take in takes) else []
    names = [take.by for take in takes for _ in range(take.limit)] if any(take.by for take in takes) else []
    return leases, keys, names


TAKE_BY_ADDRESS = """
-- take_by_address
UPDATE job
SET status = 'ACTIVE', attempt = attempt + 1, taken_at = now(), seen_at = now(),
    lease = asked.lease,
    lease_until = CASE WHEN asked.lease > 0 THEN now() + asked.lease * interval '1 second' END,
    take_key = asked.key, taken_by = asked.by
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[]) AS asked(id, source, lease, key, by)
WHERE job.id = asked.id AND job.source = asked.source AND job.status || '' = 'AVAILABLE'
RETURNING job.id, job.source, job.document::text, job.attempt, job.lease, job.taken_at, job.priority, job.position,
          job.traceparent
"""


async def take_by_address(database: Database, asked: Mapping[str, Take]) -> dict[str, Taken]:
    """Make these jobs, each an id with a take that names its source, active if they are available, due or not.

    Returns those that were, by id.
    """
    columns = zip(*((take.source, take.lease, take.key, take.by) for take in asked.values()), strict=True)
    return {row["id"]: _taken(row) for row in await fetch(database, TAKE_BY_ADDRESS, list(asked), *columns)}


TAKE_THESE = (
    """
-- take_these
WITH head AS MATERIALIZED (
    SELECT job.id, asked.turn
    FROM unnest($4::text[]) WITH ORDINALITY AS asked(id, turn)
    JOIN job ON job.id = asked.id
    WHERE job.status || '' = 'AVAILABLE' AND due_at IS NULL
    FOR UPDATE OF job SKIP LOCKED
), turns AS (
    SELECT id, turn FROM unnest(ARRAY(SELECT id FROM head ORDER BY turn)) WITH ORDINALITY AS given(id, turn)
)"""
    + _TAKE
)


async def take_by_rules(pool: Pool, takes: Sequence[Take]) -> list[list[Taken]]:
    """As `take`, by the rules of sources (store/rules.py), fairly, and only of some sources, as each take has it.

    One such statement at a time in all of the database: what is active is counted, and must not change meanwhile. No
    other take waits for it.
    """
    async with transaction(pool) as connection:
        return await _take_by_rules(connection, takes)


async def _take_by_rules(connection: Connection, takes: Sequence[Take]) -> list[list[Taken]]:
    await lock_rules(connection)
    got: dict[int, list[Taken]] = {place: [] for place in range(len(takes))}
    alike: dict[object, list[int]] = {}
    for place, take in enumerate(takes):
        alike.setdefault((take.of(), take.fair), []).append(place)
    for places in alike.values():
        jobs = iter(await _take_alike(connection, [takes[place] for place in places]))
        for place in places:
            got[place] = list(islice(jobs, takes[place].limit))
    return [got[place] for place in range(len(takes))]


async def _take_alike(connection: Connection, takes: Sequence[Take]) -> list[Taken]:
    """Take for takes that differ in nothing but whose they are."""
    wanted = _slots(takes)
    most = len(wanted[0])
    got: list[Taken] = []
    seen: list[str] = []
    while len(got) < most:
        chosen = await allowed(connection, takes[0].of(), most - len(got), takes[0].fair, seen)
        if not chosen:
            break
        # What somebody else has got hold of meanwhile is passed over, and another one is chosen for it.
        left = [column[len(got) :] for column in wanted]
        got += [_taken(row) for row in await fetch(connection, TAKE_THESE, *left, chosen)]
        seen += chosen
    return got


async def take_by_address_and_rules(pool: Pool, asked: Mapping[str, Take]) -> dict[str, Taken]:
    """As `take_by_address`, of sources that are not paused and have fewer active jobs than they may."""
    taken: dict[str, Taken] = {}
    async with transaction(pool) as connection:
        await lock_rules(connection)
        for id, take in asked.items():
            if take.source and await has_room(connection, take.source):
                taken |= await take_by_address(connection, {id: take})
    return taken


# Locked in order of the key, so that two replicas lock in the same order.
LOCK_KEYS = """
-- lock_keys
SELECT pg_advisory_xact_lock(hashtextextended(key, 0)) FROM (SELECT unnest($1::text[]) AS key ORDER BY 1) AS asked
"""


async def take_once_per_key(pool: Pool, takes: Sequence[Take], is_ruled: Callable[[Take], bool]) -> list[list[Taken]]:
    """As `take`, `take_of_sources` and, where rules hold, `take_by_rules`, for takes with keys, each another.

    A take whose key still holds jobs gets those again, and nothing else. The keys are locked until all is
    committed: the same take sent to two replicas at once takes once.
    """
    keys = [take.key for take in takes if take.key]
    async with transaction(pool) as connection:
        await fetch(connection, LOCK_KEYS, keys)
        got = await take_again(connection, keys)
        new = [take for take in takes if take.key not in got]
        ruled, of_any, of_source = list[Take](), list[Take](), list[Take]()
        for each in new:
            (ruled if is_ruled(each) else of_any if each.source is None else of_source).append(each)
        for take_new, asked in ((take, of_any), (take_of_sources, of_source), (_take_by_rules, ruled)):
            if asked:
                jobs_of_each = await take_new(connection, asked)
                got |= {each.key or "": jobs for each, jobs in zip(asked, jobs_of_each, strict=True)}
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
SET status = 'AVAILABLE', attempt = attempt - 1, taken_at = NULL, seen_at = NULL, lease_until = NULL, take_key = NULL,
    taken_by = NULL
FROM unnest($1::text[], $2::timestamptz[]) AS unheard(id, taken_at)
WHERE job.id = unheard.id AND job.status || '' = 'ACTIVE' AND job.taken_at = unheard.taken_at AND seen_at = job.taken_at
RETURNING job.id
"""


async def untake(pool: Pool, takes: Sequence[Taken]) -> set[str]:
    """Undo takes whose taker never heard of them: the attempts as well are as before. Returns the ids undone."""
    takes = sorted(takes, key=lambda taken: taken.job.id)
    ids, times = [taken.job.id for taken in takes], [taken.at for taken in takes]
    return {row["id"] for row in await fetch(pool, UNTAKE, ids, times)}
