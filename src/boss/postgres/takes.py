"""Taking jobs: making available ones active, each for one taker, in one statement.

A take searches from the start of the queue, or past cursors where dead rows at the start make that slow
(dispatch/scan_cursors.py).
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from asyncpg import Record

from boss.model.document import MOST_TEXT
from boss.model.job import Job, State, Take, Taken
from boss.model.scan_cursor import ScanCursor
from boss.postgres.connection import Pool, fetch
from boss.postgres.sizes import about, size_of
from boss.postgres.statement import READY, Arrays, Statement, probe

# Up to so many jobs are taken without counting before how many fit: few documents are of half a megabyte.
FEW = MOST_TEXT // 2**19
_SIZE = size_of("document")

# What every take answers with: the jobs that it took, each with its slot, and those that did not fit, without one.
# A lease starts when it is granted: now() is from before the statement had to wait for a lock.
TAKE_GIVEN = f"""
, taken AS (
    UPDATE job
    SET status = 'ACTIVE', attempt = attempt + 1, taken_at = given.now, seen_at = given.now, lease = given.lease,
        lease_until = CASE WHEN given.lease > 0 THEN given.now + given.lease * interval '1 second' END,
        take_key = given.key, taken_by = given.by
    FROM (SELECT id, slot, clock_timestamp() AS now,
                 ($1::int[])[slot] AS lease, ($2::text[])[slot] AS key, ($3::text[])[slot] AS by
          FROM given) AS given
    WHERE {probe("job.id", "given.id")}
    RETURNING job.id, job.source, job.document::text, job.attempt, job.lease, job.taken_at, job.priority, job.position,
              job.traceparent, given.slot
)
SELECT id, source, document, attempt, lease, taken_at, priority, position, traceparent, slot, NULL::int AS bytes
FROM taken
UNION ALL
SELECT id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, bytes FROM unfit
ORDER BY slot
"""


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
    """A take. A slot is a job that may be taken: its lease, its key and the name of its taker's token are in
    the arrays $1, $2 and $3.

    Args:
        name: what the statement is called.
        ready: the query that gives the jobs to take (id, bytes, and what `turn` and `order` need), for a limit, a lock
            and a size.
        limits: its limit where all is wanted, and where only what fits is.
        turn: which job is whose, in order of the queue.
        order: the order in which jobs are counted until no more fit.
        asked: what comes before: other CTEs, each with a comma behind it.
        wanted: how many jobs are wanted.
        slot: the slot of a turn.
        uncounted: up to how many jobs are locked without counting before how many fit.

    The head of the queue is fenced in a MATERIALIZED CTE: were it folded into the UPDATE, the planner might run it
    again for each row and take more jobs than asked for. SKIP LOCKED passes over what another replica is taking right
    now; the design's literal query waited for it and then took it a second time. RETURNING does not keep the order. The
    head goes through arrays because the planner knows nothing of a LIMIT that comes as a parameter: it would expect a
    tenth of all ready jobs, and read the whole table to join them.

    The documents of one statement come to MOST_TEXT bytes. What is locked and then not taken is hidden from others
    meanwhile, so where they may be many the jobs that fit are counted before, without a lock.
    """
    few, fitting = (limit.replace("wanted", wanted).replace("most", str(MOST_TEXT)) for limit in limits)
    limit = f"CASE WHEN {wanted} <= {uncounted} THEN {few} ELSE {fitting} END"
    return Statement(
        name,
        f"""
WITH {asked}first AS MATERIALIZED (
    SELECT *, sum(bytes) OVER (ORDER BY {order}) AS total FROM ({ready(few, "", about("document"))}) AS ready
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
){TAKE_GIVEN}""",
    )


def _statement_for_few(name: str, head: str, turns: str) -> Statement:
    """A take of few jobs, which takes none at all when they do not fit: a tenth faster than one that counts.

    Args:
        name: what the statement is called.
        head: gives the jobs to take, locked.
        turns: their ids and slots.
    """
    return Statement(
        name,
        f"""
WITH {head}
), given AS (
    SELECT id, slot FROM {turns} AS turns(id, slot) WHERE (SELECT sum(bytes) FROM head) <= {MOST_TEXT}
), unfit AS (
    SELECT id, bytes FROM head WHERE (SELECT sum(bytes) FROM head) > {MOST_TEXT}
){TAKE_GIVEN}""",
    )


def of_any(limit: str, lock: str, size: str = _SIZE) -> str:
    """The first ready jobs of any source."""
    return f"""
    SELECT id, priority, position, {size} AS bytes
    FROM job
    WHERE {READY}
    ORDER BY priority DESC, position
    LIMIT {limit}
    {lock}"""


# The cursors come with the highest priority first, and no more of them are gone through than needed.
_CURSORS = Arrays(4, priority="smallint", position="bigint")
_CURSORS_OF_SOURCES = Arrays(7, source="text", priority="smallint", position="bigint")


def _of_any_past_cursors(limit: str, lock: str, size: str = _SIZE) -> str:
    return f"""
    SELECT past.id, past.priority, past.position, past.bytes
    FROM {_CURSORS.unnest} AS scan({_CURSORS.names})
    CROSS JOIN LATERAL (
        SELECT id, priority, position, {size} AS bytes
        FROM job
        WHERE {READY} AND priority = scan.priority AND position > scan.position
        ORDER BY position
        LIMIT {limit}
        {lock}
    ) AS past
    LIMIT {limit}"""


def of_sources(limit: str, lock: str, size: str = _SIZE) -> str:
    """The first ready jobs of each source in `asked`, which has how many are wanted, and how many slots come before.

    Only the index of the ready jobs of a source has this order. By priority and position alone, a planner that has seen
    but one source would read the ready jobs of all.
    """
    return f"""
    SELECT of_source.*, asked.source, asked.slots_before
    FROM asked
    CROSS JOIN LATERAL (
        SELECT id, priority, position, {size} AS bytes
        FROM job
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
            FROM job
            WHERE {READY} AND {probe("source", "scan.source")} AND priority = scan.priority AND position > scan.position
            ORDER BY source, position
            LIMIT {limit}
            {lock}
        ) AS past
        WHERE scan.source = asked.source
        LIMIT {limit}
    ) AS of_source"""


_ASKED = """asked AS MATERIALIZED (
    SELECT * FROM unnest($4::text[], $5::int[], $6::int[]) AS asked(source, jobs, slots_before)
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
TAKE_PAST_CURSORS = take_statement("take_past_marks", _of_any_past_cursors)
TAKE_OF_SOURCES_PAST_CURSORS = _of_sources_statement("take_of_sources_past_marks", _of_sources_past_cursors)


class Handout(NamedTuple):
    """What a statement handed out.

    Attributes:
        jobs: what each take got, in order of the takes and of the queue.
        more: whether there are jobs that did not fit, for takes that got none.
        unreadable: the ids of jobs of which no reader can be given the document.
        passed: the ids of jobs that somebody else has got hold of.
    """

    jobs: list[list[Taken]]
    more: bool
    unreadable: list[str]
    passed: list[str]


async def take(pool: Pool, takes: Sequence[Take], cursors: Sequence[ScanCursor] = ()) -> Handout:
    """Make the first ready jobs of any source active, as many as these takes ask for, and as fit.

    Args:
        pool: the database.
        takes: for any source.
        cursors: when there are some, look only past them: jobs of other priorities are not found.
    """
    if cursors:
        rows = await fetch(pool, TAKE_PAST_CURSORS, *slots(takes), *_CURSORS.of(cursors))
    else:
        rows = await _fetch_few(pool, (TAKE, TAKE_WHAT_FITS), *slots(takes))
    return handout(rows, takes, range(len(takes)))


async def take_of_sources(pool: Pool, takes: Sequence[Take], cursors: Sequence[ScanCursor] = ()) -> Handout:
    """As `take`, for takes that each name a source; with cursors, jobs of sources that have none are not found."""
    order = by_source(takes)
    jobs: dict[str | None, int] = {}
    for place in order:
        jobs[takes[place].source] = jobs.get(takes[place].source, 0) + takes[place].limit
    slots_before = list(accumulate(jobs.values(), initial=0))[:-1]
    asked = *slots([takes[place] for place in order]), list(jobs), list(jobs.values()), slots_before
    if cursors:
        rows = await fetch(pool, TAKE_OF_SOURCES_PAST_CURSORS, *asked, *_CURSORS_OF_SOURCES.of(cursors))
    else:
        rows = await _fetch_few(pool, (TAKE_OF_SOURCES, TAKE_OF_SOURCES_WHAT_FITS), *asked)
    return handout(rows, takes, order)


async def _fetch_few(
    pool: Pool, statements: tuple[Statement, Statement], leases: Sequence[int], *values: object
) -> list[Record]:
    """Run the first of these statements for few jobs, the second one for many, and for few that do not fit."""
    for_few, what_fits = statements
    if len(leases) <= FEW:
        rows = await fetch(pool, for_few, leases, *values)
        if len(leases) == 1 or not any(row["slot"] is None for row in rows):
            return rows
    return await fetch(pool, what_fits, leases, *values)


def by_source(takes: Sequence[Take]) -> list[int]:
    """The places of these takes, those of a source together."""
    return sorted(range(len(takes)), key=lambda place: takes[place].source or "")


def slots(takes: Sequence[Take]) -> tuple[list[int], list[str | None], list[str | None]]:
    """The lease, the key and the token's name of every job that may be taken; where no take has one, none are sent."""
    leases: list[int] = []
    keys: list[str | None] = []
    names: list[str | None] = []
    for take in takes:
        if take.limit == 1:
            leases.append(take.lease)
            keys.append(take.key)
            names.append(take.by)
        else:
            leases += [take.lease] * take.limit
            keys += [take.key] * take.limit
            names += [take.by] * take.limit
    nobody = [None] * len(leases)
    return leases, [] if keys == nobody else keys, [] if names == nobody else names


def handout(rows: Sequence[Record], takes: Sequence[Take], order: Sequence[int]) -> Handout:
    """What the rows of a statement are, when the slots were those of the takes at these places, in this order."""
    got: list[list[Taken]] = [[] for _ in takes]
    owners = [got[place] for place in order for _ in range(takes[place].limit)]
    unfit: dict[str, int | None] = {}
    for row in rows:
        if row["slot"] is None:
            unfit[row["id"]] = row["bytes"]
        else:
            owners[row["slot"] - 1].append(taken(row))
    unreadable = [id for id, size in unfit.items() if size is not None and size > MOST_TEXT]
    passed = [id for id, size in unfit.items() if size is None]
    return Handout(got, bool(unfit), unreadable, passed)


def taken(row: Record) -> Taken:
    """The job in a row of a take."""
    job = Job(row["id"], row["source"], State.ACTIVE, row["document"], row["attempt"], row["traceparent"])
    return Taken(job, row["lease"], row["taken_at"], row["priority"], row["position"])


# Its sentence is for who finds it among the failed jobs.
_UNREADABLE = f"Boss cannot hand this job out: as text, its document would be larger than {MOST_TEXT:,} bytes"
SET_ASIDE = Statement(
    "set_aside",
    f"""
UPDATE job
SET status = 'DONE', outcome = 'failed', due_at = NULL, finished_at = clock_timestamp(),
    result = jsonb_build_object('error', '{_UNREADABLE}'), result_bytes = {len(_UNREADABLE) + 20}
WHERE id = ANY($1::text[]) AND status || '' = 'AVAILABLE' AND {size_of("document")} > {MOST_TEXT}
RETURNING id, source
""",
)


async def set_aside(pool: Pool, ids: Sequence[str]) -> dict[str, str]:
    """Have those of these available jobs that no reader can be given fail, and say why; return their sources, by id."""
    return {row["id"]: row["source"] for row in await fetch(pool, SET_ASIDE, ids)}


# The time of the take names it: whoever took the job later is not touched, however often this is sent. The attempt's
# number is not used again, for it tells one taker from another; there may be one more instead.
UNDO_TAKES = Statement(
    "untake",
    f"""
UPDATE job
SET status = 'AVAILABLE', attempts = attempts + 1, taken_at = NULL, seen_at = NULL, lease_until = NULL, take_key = NULL,
    taken_by = NULL
FROM unnest($1::text[], $2::timestamptz[]) AS unheard(id, taken_at)
WHERE {probe("job.id", "unheard.id")} AND job.status || '' = 'ACTIVE' AND job.taken_at = unheard.taken_at
  AND seen_at = job.taken_at
RETURNING job.id
""",
)


async def undo_takes(pool: Pool, takes: Sequence[Taken]) -> set[str]:
    """Undo takes whose taker never heard of them; as many attempts are left as before. Returns the ids undone."""
    takes = sorted(takes, key=lambda taken: taken.job.id)
    ids, times = [taken.job.id for taken in takes], [taken.at for taken in takes]
    return {row["id"] for row in await fetch(pool, UNDO_TAKES, ids, times)}
