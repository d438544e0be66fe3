"""Jobs by their time: what lists, redo, stop and delete find. What a statement reads is bounded by its caller."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from boss.model.finding import FoundJob, JobFilter, Place
from boss.model.job import JobPage, Outcome, State
from boss.postgres.connection import Pool, fetch
from boss.postgres.lists import list_statement, record
from boss.postgres.statement import Statement

# By convention a result says under "error" why a converter failed, and under "reason" why an administrator stopped the
# job. A longer text than this is no reason, and to search all of it would take too long.
_LONGEST_SEARCHED = 16 * 1024
_REASON = "coalesce(nullif(result ->> 'error', ''), nullif(result ->> 'reason', ''), result::text)"
_MATCHES = f"""($5::text IS NULL OR CASE
            WHEN coalesce(result_bytes, text_bytes(result, {_LONGEST_SEARCHED})) <= {_LONGEST_SEARCHED}
            THEN {_REASON} ~ $5
        END)"""

# By the time alone, so that PostgreSQL reads its index: it would rather sort all jobs by time and id, which takes 2 s
# beside 5,000,000. All jobs of the last time come along, and are sorted by their ids in the next step.
_FAILED = "AND outcome IN ('failed', 'abandoned')"


def _walk(name: str, among: str) -> Statement:
    """Build the statement for the last of the done jobs before a place; `among` chooses a smaller index."""
    return Statement(
        name,
        f"""
WITH walked AS MATERIALIZED (
    SELECT id, finished_at AS at, attempt,
        ($3::text[] IS NULL OR source = ANY($3)) AND ($4::text IS NULL OR outcome = $4) AND {_MATCHES} AS found
    FROM job
    WHERE status = 'DONE' AND finished_at <= $1 AND (finished_at < $1 OR id < $2) AND finished_at >= $6 {among}
    ORDER BY finished_at DESC
    FETCH FIRST $7 ROWS WITH TIES
), first AS MATERIALIZED (
    SELECT * FROM walked ORDER BY at DESC, id DESC LIMIT $7
)
SELECT id, at, attempt, NULL::bigint AS walked FROM first WHERE found
UNION ALL
SELECT id, at, attempt, walked
FROM (SELECT id, at, attempt, count(*) OVER () AS walked FROM first ORDER BY at, id LIMIT 1) AS last
""",
    )


WALK_DONE = _walk("walk_done", "")
WALK_FAILED = _walk("walk_failed", _FAILED)
_EARLIEST, _LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


class Walk(NamedTuple):
    """Some of the last done jobs before a place.

    Attributes:
        found: those that match the filter, the newest first.
        end: the place after the last one looked at; None when there were no more.
    """

    found: list[FoundJob]
    end: Place | None


def _pattern(words: str | None) -> str | None:
    """A regular expression for these words in upper or lower case, whatever letters the database's locale knows."""
    return None if words is None else "".join(map(_either_case, words))


def _either_case(letter: str) -> str:
    lower, upper = letter.lower(), letter.upper()
    if lower != upper and len(lower) == len(upper) == 1:
        return f"[{lower}{upper}]"
    return re.escape(letter) if letter.isascii() else letter


async def walk_done(pool: Pool, wanted: JobFilter, after: Place | None, rows: int) -> Walk:
    """Look at the last `rows` done jobs after a place in the list."""
    statement = WALK_FAILED if wanted.outcome in (Outcome.FAILED, Outcome.ABANDONED) else WALK_DONE
    at, id = _start(wanted, after)
    found = await fetch(
        pool,
        statement,
        at,
        id,
        wanted.sources,
        wanted.outcome,
        _pattern(wanted.reason),
        wanted.since or _EARLIEST,
        rows,
    )
    jobs = [FoundJob(id=row["id"], at=row["at"], attempt=row["attempt"]) for row in found if row["walked"] is None]
    full = [Place(row["at"], row["id"]) for row in found if row["walked"] == rows]
    return Walk(sorted(jobs, key=FoundJob.place, reverse=True), full[0] if full else None)


def _start(wanted: JobFilter, after: Place | None) -> Place:
    """The place where a list begins: after this one, and before the end of the filter's time."""
    bound = Place(wanted.until or _LATEST)
    return bound if after is None else min(bound, after)


# The jobs of a source in one state with greater ids, in a form in which only the index of addresses has the order of
# source and id. With an equation other indexes have that order, too; with an array of one, PostgreSQL 15 reads all
# sources.
OF_SOURCE = "(job.source, job.id) > ({source}, {id}) AND job.source <= {source}"

# All jobs of some sources and states, which must be few, are read and sorted.
SORT_FEW = Statement(
    "sort_few",
    f"""
SELECT found.id, found.at, found.attempt
FROM unnest($8::text[], $9::text[]) AS asked(source, status)
CROSS JOIN LATERAL (
    SELECT id, at, attempt
    FROM (SELECT id, CASE WHEN status = 'DONE' THEN finished_at ELSE submitted_at END AS at, attempt, outcome, result,
                 result_bytes
          FROM job
          WHERE job.status = asked.status AND {OF_SOURCE.format(source="asked.source", id="''")}
          ORDER BY source, id
          OFFSET 0) AS of_source
    WHERE ($3::text[] IS NULL OR asked.source = ANY($3)) AND ($4::text IS NULL OR outcome = $4) AND {_MATCHES}
      AND at <= $1 AND (at < $1 OR id < $2) AND at >= $6
) AS found
ORDER BY at DESC, id DESC
LIMIT $7
""",
)


async def sort_few(
    pool: Pool, wanted: JobFilter, after: Place | None, limit: int, among: Sequence[tuple[str, State]]
) -> list[FoundJob]:
    """The first `limit` jobs after a place in the list, among all of these sources and states.

    It reads all of these, so they must be few.
    """
    at, id = _start(wanted, after)
    values = (at, id, wanted.sources, wanted.outcome, _pattern(wanted.reason), wanted.since or _EARLIEST, limit)
    sources, states = [source for source, _ in among], [state.name for _, state in among]
    return [FoundJob(**row) for row in await fetch(pool, SORT_FEW, *values, sources, states)]


RECORDS = list_statement(
    "records",
    "SELECT unnest($1::text[]) AS id",
    "CASE WHEN status = 'DONE' THEN finished_at ELSE submitted_at END DESC, id DESC",
)


async def records(pool: Pool, ids: Sequence[str]) -> JobPage:
    """The jobs with these ids and all their properties, the newest first; fewer when their documents are large."""
    rows = await fetch(pool, RECORDS, ids)
    jobs = [record(row) for row in rows]
    return JobPage(jobs, more=bool(rows) and rows[0]["jobs_chosen"] > len(jobs))
