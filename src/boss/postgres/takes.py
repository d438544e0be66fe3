"""Takes: each makes available jobs active, every job for one taker, in one statement.

A take searches from the start of the queue, or past scan cursors where dead rows at the start make that slow
(dispatch/scan_cursors.py).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from asyncpg import Record

from boss.model.document import MOST_TEXT
from boss.model.job import Job, State, Take, Taken
from boss.model.scan_cursor import ScanCursor
from boss.postgres.connection import Pool, fetch
from boss.postgres.sizes import about, size_of, with_note
from boss.postgres.statement import READY, Arrays, Statement, probe
from boss.postgres.take_given import take_given

# Up to this many jobs, a take does not first count how many fit: few documents have half a megabyte.
FEW = MOST_TEXT // 2**19
_SIZE = with_note(size_of("document"))


def take_statement(
    name: str,
    ready: Callable[[str, str, str], str],
    *,
    limits: tuple[str, str] = ("wanted", "(SELECT count(*) FROM first WHERE total <= most)"),
    turn: str = "row_number() OVER (ORDER BY priority DESC, position)",
    order: str = "priority DESC, position",
    asked: str = "",
    wanted: str = "cardinality($1::int[])",
    slot: str = "turn",
    uncounted: int = FEW,
) -> Statement:
    """Build the statement of a take of any number of jobs.

    A slot stands for one job that a taker wants. The arrays $1 to $4 have a lease, a key, the name of a token and the
    name of a converter for each slot. The documents and notes of one statement have at most MOST_TEXT bytes together.
    These are its CTEs:

    1. `first` adds up the sizes of the first documents, without a lock, to find how many fit. A job that is locked and
       then not taken is hidden from other takes meanwhile. For few jobs that costs less than this step, which is then
       left out.
    2. `head` locks so many of the first jobs. SKIP LOCKED skips those that another replica is taking; the design's
       literal query waits for them and takes them a second time. If `head` were inlined into the UPDATE, the planner
       might run it again for each row and take more jobs than asked for. So it is MATERIALIZED.
    3. `numbered` and `given` give a slot to each of these jobs that fits, because RETURNING does not keep the order.
       The ids are passed on in arrays: the planner does not know a LIMIT that comes as a parameter. It would expect a
       tenth of all ready jobs, and read the whole table to join them.
    4. `unfit` has the jobs that do not fit, with their sizes.

    Args:
        name: the name of the statement.
        ready: builds the query for the jobs to take (id, bytes, and what `turn` and `order` need) from a limit, a lock
            and a size.
        limits: SQL for the limit of that query: for all jobs wanted, and for only those that fit.
        turn: SQL for the turn of a job, in order of the queue.
        order: SQL for the order in which documents are added up until no more fit.
        asked: other CTEs to put first, each followed by a comma.
        wanted: SQL for the number of jobs wanted.
        slot: SQL for the slot of a turn.
        uncounted: up to how many jobs step 1 is left out.
    """
    few, fitting = (limit.replace("wanted", wanted).replace("most", str(MOST_TEXT)) for limit in limits)
    limit = f"CASE WHEN {wanted} <= {uncounted} THEN {few} ELSE {fitting} END"
    return Statement(
        name,
        f"""
WITH {asked}first AS MATERIALIZED (
    SELECT *, sum(bytes) OVER (ORDER BY {order}) AS total FROM ({ready(few, "", with_note(about("document")))}) AS ready
), head AS MATERIALIZED ({ready(limit, "FOR UPDATE SKIP LOCKED", _SIZE)}
), numbered AS MATERIALIZED (
    SELECT id, bytes, turn, sum(bytes) OVER (ORDER BY turn) AS total
    FROM (SELECT id, bytes, {turn} AS turn FROM head) AS of_head
), given AS (
    SELECT id, {slot} AS slot
    FROM unnest(ARRAY(SELECT id FROM numbered WHERE total <= {MOST_TEXT} ORDER BY turn),
                ARRAY(SELECT turn FROM numbered WHERE total <= {MOST_TEXT} ORDER BY turn)) AS fitting(id, turn)
), unfit AS (
    SELECT id, bytes FROM numbered WHERE total > {MOST_TEXT}
    UNION ALL
    (SELECT id, bytes FROM first WHERE {wanted} > {uncounted} AND total > {MOST_TEXT} ORDER BY bytes DESC LIMIT 1)
){take_given()}""",
    )


def _statement_for_few(name: str, head: str, turns: str) -> Statement:
    """Build a take of few jobs, which takes none at all when they do not fit: a tenth faster than one that counts.

    Args:
        name: the name of the statement.
        head: SQL for the jobs to take, locked.
        turns: SQL for their ids and slots.
    """
    return Statement(
        name,
        f"""
WITH {head}
), given AS (
    SELECT id, slot FROM {turns} AS turns(id, slot) WHERE (SELECT sum(bytes) FROM head) <= {MOST_TEXT}
), unfit AS (
    SELECT id, bytes FROM head WHERE (SELECT sum(bytes) FROM head) > {MOST_TEXT}
){take_given()}""",
    )


def of_any(limit: str, lock: str, size: str = _SIZE) -> str:
    """The query for the first ready jobs of any source."""
    return f"""
    SELECT id, priority, position, {size} AS bytes
    FROM ONLY job
    WHERE {READY}
    ORDER BY priority DESC, position
    LIMIT {limit}
    {lock}"""


# The cursors have the highest priority first, and PostgreSQL reads no more of them than it needs.
_CURSORS = Arrays(5, priority="smallint", position="bigint")
_CURSORS_OF_SOURCES = Arrays(8, source="text", priority="smallint", position="bigint")


def _of_any_past_cursors(limit: str, lock: str, size: str = _SIZE) -> str:
    return f"""
    SELECT past.id, past.priority, past.position, past.bytes
    FROM {_CURSORS.unnest} AS scan({_CURSORS.names})
    CROSS JOIN LATERAL (
        SELECT id, priority, position, {size} AS bytes
        FROM ONLY job
        WHERE {READY} AND priority = scan.priority AND position > scan.position
        ORDER BY position
        LIMIT {limit}
        {lock}
    ) AS past
    LIMIT {limit}"""


def of_sources(limit: str, lock: str, size: str = _SIZE) -> str:
    """The query for the first ready jobs of each source in `asked`, which says how many jobs are wanted and how many
    slots come before.

    It orders by source as well because only the index of the ready jobs of a source has this order. By priority and
    position alone, a planner that has seen only one source would read the ready jobs of all sources.
    """
    return f"""
    SELECT of_source.*, asked.source, asked.slots_before
    FROM asked
    CROSS JOIN LATERAL (
        SELECT id, priority, position, {size} AS bytes
        FROM ONLY job
        WHERE {READY} AND {probe("source", "asked.source")}
        ORDER BY source, priority DESC, position
        LIMIT {limit}
        {lock}
    ) AS of_source"""


def _of_sources_past_cursors(limit: str, lock: str, size: str = _SIZE) -> str:
    return f"""
    SELECT of_source.*, asked.source, asked.slots_before
    FROM asked
    CROSS JOIN LATERAL (
        SELECT past.id, past.priority, past.position, past.bytes
        FROM {_CURSORS_OF_SOURCES.unnest} AS scan({_CURSORS_OF_SOURCES.names})
        CROSS JOIN LATERAL (
            SELECT id, priority, position, {size} AS bytes
            FROM ONLY job
            WHERE {READY} AND {probe("source", "scan.source")} AND priority = scan.priority AND position > scan.position
            ORDER BY source, position
            LIMIT {limit}
            {lock}
        ) AS past
        WHERE scan.source = asked.source
        LIMIT {limit}
    ) AS of_source"""


_ASKED = """asked AS MATERIALIZED (
    SELECT * FROM unnest($5::text[], $6::int[], $7::int[]) AS asked(source, jobs, slots_before)
), """
LIMITS_OF_SOURCES = (
    "asked.jobs",
    "(SELECT count(*) FROM first WHERE first.source = asked.source AND total <= most)",
)
TURN_OF_SOURCES = "slots_before + row_number() OVER (PARTITION BY slots_before ORDER BY priority DESC, position)"
ORDER_OF_SOURCES = "slots_before, priority DESC, position"


def _of_sources_statement(name: str, ready: Callable[[str, str, str], str], uncounted: int = FEW) -> Statement:
    return take_statement(
        name,
        ready,
        limits=LIMITS_OF_SOURCES,
        turn=TURN_OF_SOURCES,
        order=ORDER_OF_SOURCES,
        asked=_ASKED,
        uncounted=uncounted,
    )


TAKE = _statement_for_few(
    "take",
    f"head AS MATERIALIZED ({of_any('cardinality($1::int[])', 'FOR UPDATE SKIP LOCKED')}",
    "unnest(ARRAY(SELECT id FROM head ORDER BY priority DESC, position)) WITH ORDINALITY",
)
TAKE_OF_SOURCES = _statement_for_few(
    "take_of_sources",
    f"""{_ASKED}head AS MATERIALIZED ({of_sources("asked.jobs", "FOR UPDATE SKIP LOCKED")}
), numbered AS MATERIALIZED (
    SELECT id, {TURN_OF_SOURCES} AS turn FROM head""",
    "unnest(ARRAY(SELECT id FROM numbered ORDER BY turn), ARRAY(SELECT turn FROM numbered ORDER BY turn))",
)
TAKE_WHAT_FITS = take_statement("take_what_fits", of_any, uncounted=1)
TAKE_OF_SOURCES_WHAT_FITS = _of_sources_statement("take_of_sources_what_fits", of_sources, uncounted=1)
TAKE_PAST_CURSORS = take_statement("take_past_cursors", _of_any_past_cursors)
TAKE_OF_SOURCES_PAST_CURSORS = _of_sources_statement("take_of_sources_past_marks", _of_sources_past_cursors)


_LEASE_BY_RULE = """(CASE WHEN given.lease < 0
            THEN coalesce((SELECT rule.lease FROM source_rule AS rule WHERE rule.source = job.source), -given.lease - 1)
            ELSE given.lease
        END)"""


@lru_cache
def _by_rules(statement: Statement) -> Statement:
    """The same take, in which a lease below 0 stands for that of the source's rule, or for -lease - 1 if it says none.

    It is a statement of its own so that takes do not open `source_rule` while no source has a lease.
    """
    return Statement(f"{statement.name}_by_rules", statement.sql.replace("given.lease", _LEASE_BY_RULE))


def with_leases(statement: Statement, leases: Sequence[int]) -> Statement:
    """The take to run for slots with these leases (`slots`)."""
    return _by_rules(statement) if leases and min(leases) < 0 else statement


# What a statement returns among the ids of those that did not fit when it passed over a source that somebody else is
# taking from. No job has this id.
BUSY = ""


class Handout(NamedTuple):
    """The result of one take statement.

    Attributes:
        jobs: the jobs of each take, in order of the takes and of the queue.
        more: whether some jobs did not fit, so that takes that got none should try again.
        unreadable: the ids of jobs whose documents are too large for any reader.
        passed: the ids of jobs that another transaction has locked or taken.
        busy: whether sources were passed over, because somebody else is taking from them.
    """

    jobs: list[list[Taken]]
    more: bool
    unreadable: list[str]
    passed: list[str]
    busy: bool = False


async def take(pool: Pool, takes: Sequence[Take], cursors: Sequence[ScanCursor] = ()) -> Handout:
    """Make the first ready jobs of any source active: as many as these takes ask for, and as fit into one statement.

    Args:
        pool: the connection pool.
        takes: takes from any source.
        cursors: if given, search only past them; jobs of other priorities are not found.
    """
    if cursors:
        leases, *others = slots(takes)
        statement = with_leases(TAKE_PAST_CURSORS, leases)
        rows = await fetch(pool, statement, leases, *others, *_CURSORS.of(cursors))
    else:
        rows = await _fetch_few(pool, (TAKE, TAKE_WHAT_FITS), *slots(takes))
    return handout(rows, takes, range(len(takes)))


async def take_of_sources(pool: Pool, takes: Sequence[Take], cursors: Sequence[ScanCursor] = ()) -> Handout:
    """Like `take`, for takes that each name a source. With cursors, jobs of sources without one are not found."""
    order = by_source(takes)
    jobs: dict[str | None, int] = {}
    for index in order:
        jobs[takes[index].source] = jobs.get(takes[index].source, 0) + takes[index].limit
    slots_before = list(accumulate(jobs.values(), initial=0))[:-1]
    asked = *slots([takes[index] for index in order]), list(jobs), list(jobs.values()), slots_before
    if cursors:
        rows = await fetch(pool, TAKE_OF_SOURCES_PAST_CURSORS, *asked, *_CURSORS_OF_SOURCES.of(cursors))
    else:
        rows = await _fetch_few(pool, (TAKE_OF_SOURCES, TAKE_OF_SOURCES_WHAT_FITS), *asked)
    return handout(rows, takes, order)


async def _fetch_few(
    pool: Pool, statements: tuple[Statement, Statement], leases: Sequence[int], *values: object
) -> list[Record]:
    """Run the first of these statements for few jobs; run the second for many jobs, or when the few do not fit."""
    for_few, what_fits = statements
    if len(leases) <= FEW:
        rows = await fetch(pool, with_leases(for_few, leases), leases, *values)
        if len(leases) == 1 or not any(row["slot"] is None for row in rows):
            return rows
    return await fetch(pool, with_leases(what_fits, leases), leases, *values)


def by_source(takes: Sequence[Take]) -> list[int]:
    """The indexes of these takes, grouped by source."""
    return sorted(range(len(takes)), key=lambda index: takes[index].source or "")


_Names: TypeAlias = list[str | None]


def slots(takes: Sequence[Take]) -> tuple[list[int], _Names, _Names, _Names]:
    """The leases, the keys, the token names and the converters of all slots; a list is empty when no take has any.

    A lease that the rule of the job's source may say is passed as -lease - 1 (`with_leases`).
    """
    leases: list[int] = []
    keys: _Names = []
    names: _Names = []
    converters: _Names = []
    for take in takes:
        lease = -take.lease - 1 if take.lease_by_rule else take.lease
        if take.limit == 1:
            leases.append(lease)
            keys.append(take.key)
            names.append(take.by)
            converters.append(take.converter)
        else:
            leases += [lease] * take.limit
            keys += [take.key] * take.limit
            names += [take.by] * take.limit
            converters += [take.converter] * take.limit
    nobody = [None] * len(leases)
    return (
        leases,
        [] if keys == nobody else keys,
        [] if names == nobody else names,
        [] if converters == nobody else converters,
    )


def handout(rows: Sequence[Record], takes: Sequence[Take], order: Sequence[int]) -> Handout:
    """The handout in the rows of a take statement, whose slots were those of the takes at these indexes, in order."""
    got: list[list[Taken]] = [[] for _ in takes]
    owners = [got[index] for index in order for _ in range(takes[index].limit)]
    unfit: dict[str, int | None] = {}
    for row in rows:
        if row["slot"] is None:
            unfit[row["id"]] = row["bytes"]
        else:
            owners[row["slot"] - 1].append(taken(row))
    unreadable = [id for id, size in unfit.items() if size is not None and size > MOST_TEXT]
    passed = [id for id, size in unfit.items() if size is None and id != BUSY]
    return Handout(got, bool(unfit), unreadable, passed, BUSY in unfit)


def taken(row: Record) -> Taken:
    """The job in a row of a take."""
    job = Job(
        id=row["id"],
        source=row["source"],
        state=State.ACTIVE,
        document=row["document"],
        attempt=row["attempt"],
        traceparent=row["traceparent"],
        note=row["note"],
    )
    return Taken(job=job, lease=row["lease"], at=row["taken_at"], priority=row["priority"], position=row["position"])
