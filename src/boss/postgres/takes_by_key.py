"""Takes with a key (Idempotency-Key): the same take sent again gets the same jobs again."""

from collections.abc import Sequence

from boss.model.document import MOST_TEXT
from boss.model.job import Take, Taken
from boss.postgres.connection import Pool, fetch
from boss.postgres.sizes import size_of, text_of, with_note
from boss.postgres.statement import LEASE, Statement, probe, until_timeout
from boss.postgres.takes import (
    LIMITS_OF_SOURCES,
    ORDER_OF_SOURCES,
    TURN_OF_SOURCES,
    Handout,
    by_source,
    handout,
    of_any,
    of_sources,
    slots,
    take_statement,
    taken,
    with_leases,
)

# One statement locks the keys and then finds out which of them hold jobs (held_keys, 0006_promises.sql). So the same
# take sent to two replicas at once takes only once, and a replica that freezes does not keep keys locked. Only the
# slots of keys that hold no jobs are free.
FREE = """free AS MATERIALIZED (
    SELECT coalesce(array_agg(slot ORDER BY slot), '{}') AS slots
    FROM unnest($2::text[]) WITH ORDINALITY AS asked(key, slot)
    WHERE key NOT IN (SELECT held_keys($2::text[]))
), """
FREE_SLOTS = "(SELECT cardinality(slots) FROM free)"
SLOT_OF_TURN = "(SELECT slots FROM free)[turn]"
# $5 has the source of each slot; the slots of a source are adjacent.
_ASKED = """asked AS MATERIALIZED (
    SELECT source, count(*) AS jobs, min(turn) - 1 AS slots_before
    FROM (SELECT ($5::text[])[slot] AS source, turn
          FROM free, unnest(slots) WITH ORDINALITY AS of_turn(slot, turn)) AS each
    GROUP BY source
), """

TAKE_BY_KEY = take_statement("take_by_key", of_any, asked=FREE, wanted=FREE_SLOTS, slot=SLOT_OF_TURN)
TAKE_OF_SOURCES_BY_KEY = take_statement(
    "take_of_sources_by_key",
    of_sources,
    limits=LIMITS_OF_SOURCES,
    turn=TURN_OF_SOURCES,
    order=ORDER_OF_SOURCES,
    asked=FREE + _ASKED,
    wanted=FREE_SLOTS,
    slot=SLOT_OF_TURN,
)


async def take_by_key(pool: Pool, takes: Sequence[Take]) -> Handout:
    """Like `take`, for takes with distinct keys. A take whose key holds jobs gets none."""
    leases, *others = slots(takes)
    return handout(await fetch(pool, with_leases(TAKE_BY_KEY, leases), leases, *others), takes, range(len(takes)))


async def take_of_sources_by_key(pool: Pool, takes: Sequence[Take]) -> Handout:
    """Like `take_of_sources`, for takes with distinct keys. A take whose key holds jobs gets none."""
    order = by_source(takes)
    slotted = [takes[index] for index in order]
    sources = [take.source for take in slotted for _ in range(take.limit)]
    rows = await fetch(pool, TAKE_OF_SOURCES_BY_KEY, *slots(slotted), sources)
    return handout(rows, takes, order)


# Renews the leases like a heartbeat, since the taker has just asked. That also keeps `undo_takes` from undoing a take
# that was handed out again. The documents have at most MOST_TEXT bytes together, or are those of one take. Each key is
# looked up by itself, as in held_keys (0008_plans.sql).
TAKE_AGAIN = Statement(
    "take_again",
    f"""
WITH held AS MATERIALIZED (
    SELECT of_key.*
    FROM unnest($1::text[]) AS asked(key)
    CROSS JOIN LATERAL (
        SELECT id, take_key, {with_note(size_of("document"))} AS bytes
        FROM ONLY job
        WHERE status = 'ACTIVE' AND {probe("take_key", "asked.key")}
        ORDER BY take_key
    ) AS of_key
), running AS MATERIALIZED (
    SELECT take_key, row_number() OVER by_key AS turn, sum(sum(bytes)) OVER by_key AS total
    FROM held
    GROUP BY take_key
    WINDOW by_key AS (ORDER BY take_key)
)
UPDATE ONLY job
SET seen_at = clock_timestamp(),
    lease_until = {until_timeout("clock_timestamp() + nullif(lease, 0) * interval '1 second'")}
WHERE id = ANY(ARRAY(SELECT id FROM held WHERE take_key = ANY(
          ARRAY(SELECT take_key FROM running WHERE total <= {MOST_TEXT} OR turn = 1))))
  AND status || '' = 'ACTIVE' AND take_key = ANY($1::text[])
RETURNING id, source, {text_of("document")} AS document, attempt, {LEASE}, taken_at, priority, position, traceparent,
          note::text AS note, take_key
""",
)


async def take_again(pool: Pool, keys: Sequence[str]) -> dict[str, list[Taken]]:
    """The jobs that takes with these keys still hold, by key, each in the order of the queue.

    When there are too many jobs for one answer, some keys are left out.
    """
    got: dict[str, list[Taken]] = {}
    rows = await fetch(pool, TAKE_AGAIN, keys)
    for row in sorted(rows, key=lambda row: (-row["priority"], row["position"])):
        got.setdefault(row["take_key"], []).append(taken(row))
    return got
