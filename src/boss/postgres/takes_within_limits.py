"""Takes that choose jobs before they lock them: from sources with limits, fair takes, and takes of several sources."""

from collections.abc import Sequence

from boss.model.document import MOST_TEXT
from boss.model.job import Take
from boss.postgres.connection import Pool, fetch
from boss.postgres.sizes import about, size_of, with_note
from boss.postgres.statement import READY, Statement, probe
from boss.postgres.take_given import take_given
from boss.postgres.takes import BUSY, Handout, handout, slots, with_leases
from boss.postgres.takes_by_key import FREE, FREE_SLOTS, SLOT_OF_TURN

# The first jobs of each source, as many as it has room for. Of these, a take gets the first ones in order of the queue;
# a fair take first gets those with the fewest jobs of their source active or chosen before them.
_ALLOWED = f"""
    SELECT id, priority, position, bytes, row_number() OVER (
               ORDER BY CASE WHEN %(fair)s THEN turn END, priority DESC, position
           ) AS turn
    FROM (SELECT ready.*, room.active + row_number() OVER (
                     PARTITION BY room.source ORDER BY ready.priority DESC, ready.position
                 ) AS turn
          FROM room
          CROSS JOIN LATERAL (
              SELECT id, priority, position, {with_note(about("document"))} AS bytes
              FROM ONLY job
              WHERE {READY} AND {probe("source", "room.source")} AND id <> ALL ($7::text[])
              ORDER BY source, priority DESC, position
              LIMIT least(coalesce(room.room, %(most)s), %(most)s)
          ) AS ready) AS head
    ORDER BY turn
    LIMIT %(most)s"""


# Takes from a source with a limit or a rate run one after the other (room_for_take, 0017_source_defaults.sql).
_ROOM = "SELECT source, active, room FROM room_for_take($5::text[])"
# What a take spends of the rates of its sources (0018_rate_and_retention.sql). No other take spends of them meanwhile.
SPENT = """, rated AS MATERIALIZED (
    SELECT taken.source, clock_timestamp() AS now, count(*) / rule.rate * interval '1 second' AS spent,
           rate_burst(rule.rate) / rule.rate * interval '1 second' AS burst
    FROM taken
    JOIN source_rule AS rule ON rule.source = taken.source AND rule.rate IS NOT NULL
    GROUP BY taken.source, rule.rate
), spent AS (
    INSERT INTO rate_used AS used (source, full_at) SELECT source, now + spent FROM rated
    ON CONFLICT (source) DO UPDATE
    SET full_at = (SELECT spent + CASE WHEN used.full_at BETWEEN now AND now + 2 * burst THEN used.full_at ELSE now END
                   FROM rated WHERE rated.source = excluded.source)
)"""
_UNLIMITED = "SELECT source, 0::bigint AS active, NULL::int AS room FROM unnest($5::text[]) AS source"


def _statement(name: str, room: str, spent: str, asked: str, wanted: str, slot: str) -> Statement:
    """Build a take from the sources in `room`, which says how many of their jobs are active, and how many more may be.

    It locks no job that it then does not take. It skips jobs that another transaction has locked or taken meanwhile,
    and returns them without a size among those that did not fit. There it also says if it passed over a source.
    """
    allowed = _ALLOWED % {"fair": "$6::bool", "most": wanted}
    return Statement(
        name,
        f"""
WITH {asked}room AS MATERIALIZED (
    {room}
), first AS MATERIALIZED (
    SELECT *, sum(bytes) OVER (ORDER BY turn) AS total FROM ({allowed}) AS allowed
), head AS MATERIALIZED (
    SELECT job.id, first.turn, {with_note(size_of("document"))} AS bytes
    FROM unnest(ARRAY(SELECT id FROM first WHERE total <= {MOST_TEXT} ORDER BY turn)) WITH ORDINALITY AS first(id, turn)
    JOIN ONLY job ON {probe("job.id", "first.id")}
    WHERE job.status || '' = 'AVAILABLE' AND due_at IS NULL
    FOR UPDATE OF job SKIP LOCKED
), numbered AS MATERIALIZED (
    SELECT id, bytes, turn, sum(bytes) OVER (ORDER BY turn) AS total FROM head
), given AS (
    SELECT id, {slot} AS slot
    FROM unnest(ARRAY(SELECT id FROM numbered WHERE total <= {MOST_TEXT} ORDER BY turn))
         WITH ORDINALITY AS fitting(id, turn)
), unfit AS (
    SELECT id, bytes FROM numbered WHERE total > {MOST_TEXT}
    UNION ALL
    SELECT id, NULL AS bytes FROM first WHERE total <= {MOST_TEXT} AND id <> ALL (ARRAY(SELECT id FROM head))
    UNION ALL
    (SELECT id, bytes FROM first WHERE total > {MOST_TEXT} ORDER BY bytes DESC LIMIT 1)
    UNION ALL
    (SELECT '{BUSY}' AS id, NULL AS bytes FROM room WHERE room = 0 LIMIT 1)
){take_given(spent)}""",
    )


_PLAIN = "", "cardinality($1::int[])", "turn"
_WITH_KEY = FREE, FREE_SLOTS, SLOT_OF_TURN
TAKE_WITHIN_LIMITS = _statement("take_within_limits", _ROOM, SPENT, *_PLAIN)
TAKE_BY_KEY_WITHIN_LIMITS = _statement("take_by_key_within_limits", _ROOM, SPENT, *_WITH_KEY)
TAKE_OF_SEVERAL = _statement("take_of_several", _UNLIMITED, "", *_PLAIN)
TAKE_OF_SEVERAL_BY_KEY = _statement("take_of_several_by_key", _UNLIMITED, "", *_WITH_KEY)


async def take_within_limits(pool: Pool, takes: Sequence[Take], passed: Sequence[str]) -> Handout:
    """Like `take`, within the limits of the sources; all takes name the same sources and are all fair or all not.

    Either all have keys or none has. A take whose key holds jobs gets none. Jobs with the ids `passed` are skipped.
    """
    return await _take(pool, TAKE_BY_KEY_WITHIN_LIMITS if takes[0].key else TAKE_WITHIN_LIMITS, takes, passed)


async def take_of_several(pool: Pool, takes: Sequence[Take], passed: Sequence[str]) -> Handout:
    """Like `take_within_limits`, for sources without limits."""
    return await _take(pool, TAKE_OF_SEVERAL_BY_KEY if takes[0].key else TAKE_OF_SEVERAL, takes, passed)


async def _take(pool: Pool, statement: Statement, takes: Sequence[Take], passed: Sequence[str]) -> Handout:
    leases, *others = slots(takes)
    rows = await fetch(pool, with_leases(statement, leases), leases, *others, takes[0].of(), takes[0].fair, passed)
    return handout(rows, takes, range(len(takes)))


ANY_ALLOWED = Statement(
    "any_allowed",
    f"""
WITH room AS MATERIALIZED (SELECT source, active, room FROM room_now($1::text[]))
{(_ALLOWED % {"fair": "false", "most": "1"}).replace("$7::text[]", "'{}'")}
""",
)


async def any_allowed(pool: Pool, sources: Sequence[str] | None) -> bool:
    """Whether the limits allow a ready job of these sources, of any when None, to be taken."""
    return bool(await fetch(pool, ANY_ALLOWED, sources))
