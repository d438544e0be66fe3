"""Schedules, and the jobs of their moments."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from asyncpg import Record

from boss.errors import NoSchedule
from boss.model.job import DEFAULT_ATTEMPTS
from boss.model.schedule import Missed, Schedule
from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Arrays, Statement

_COLUMNS = "name, source, cron, zone, document::text AS document, document_bytes, missed, paused, next_at"
SCHEDULES = Statement(
    "schedules",
    f"""
SELECT {_COLUMNS} FROM schedule WHERE name = coalesce($1, name) ORDER BY name
""",
)


async def schedules(pool: Pool, name: str | None = None) -> list[Schedule]:
    """Every schedule, or the one of this name, sorted by name."""
    return [_schedule(row) for row in await fetch(pool, SCHEDULES, name)]


async def schedule(pool: Pool, name: str) -> Schedule:
    """The schedule of this name.

    Raises:
        NoSchedule: there is none.
    """
    found = await schedules(pool, name)
    if not found:
        raise _none(name)
    return found[0]


SET_SCHEDULE = Statement(
    "set_schedule",
    """
WITH changed AS (
    INSERT INTO schedule (name, source, cron, zone, document, document_bytes, missed, paused, next_at)
    VALUES ($1, $2, $3, $4, $5::text::jsonb, $6, $7, $8, $9)
    ON CONFLICT (name) DO UPDATE
    SET source = excluded.source, cron = excluded.cron, zone = excluded.zone, document = excluded.document,
        document_bytes = excluded.document_bytes, missed = excluded.missed, paused = excluded.paused,
        next_at = CASE
            WHEN schedule.cron = excluded.cron AND schedule.zone = excluded.zone AND NOT schedule.paused
            THEN schedule.next_at
            ELSE excluded.next_at
        END
    RETURNING next_at
), recorded AS (
    INSERT INTO act (by, did, what) VALUES ($10, 'set a schedule', $11::text::jsonb)
)
SELECT next_at FROM changed
""",
)


async def set_schedule(pool: Pool, new: Schedule, by: str | None) -> Schedule:
    """Store a schedule in place of the one of its name, and record it as an audit event, without the document.

    Returns it as it is now: while its cron line and time zone stay what they were, so does its next moment.
    """
    details = {"schedule": new.name, "source": new.source, "cron": new.cron, "zone": new.zone, "paused": new.paused}
    values = (new.name, new.source, new.cron, new.zone, new.document, new.document_bytes, new.missed, new.paused)
    [row] = await fetch(pool, SET_SCHEDULE, *values, new.next_at, by, json.dumps(details))
    return new._replace(next_at=row["next_at"])


DELETE_SCHEDULE = Statement(
    "delete_schedule",
    """
WITH deleted AS (
    DELETE FROM schedule WHERE name = $1 RETURNING name
)
INSERT INTO act (by, did, what) SELECT $2, 'deleted a schedule', jsonb_build_object('schedule', name) FROM deleted
RETURNING number
""",
)


async def delete_schedule(pool: Pool, name: str, by: str | None) -> None:
    """Delete a schedule, and record it as an audit event. Its jobs stay.

    Raises:
        NoSchedule: there is none of this name.
    """
    if not await fetch(pool, DELETE_SCHEDULE, name, by):
        raise _none(name)


DUE_SCHEDULES = Statement(
    "due_schedules",
    f"""
SELECT {_COLUMNS}, now() AS now FROM schedule WHERE NOT paused AND next_at <= now() ORDER BY next_at
""",
)


async def due_schedules(pool: Pool) -> list[tuple[Schedule, datetime]]:
    """The schedules whose next moment has come, each with the database's time."""
    return [(_schedule(row), row["now"]) for row in await fetch(pool, DUE_SCHEDULES)]


class Step(NamedTuple):
    """What becomes of a due schedule.

    Attributes:
        name: its name.
        moment: its next moment as it was read.
        next_at: its next moment from now on.
        id: the id of the job to submit; None for none.
    """

    name: str
    moment: datetime
    next_at: datetime
    id: str | None


_STEPS = Arrays(name="text", moment="timestamptz", next_at="timestamptz", id="text")
# However many replicas read that a moment has come, one of them finds the schedule as it was read, and submits.
STEP_SCHEDULES = Statement(
    "step_schedules",
    f"""
WITH asked AS MATERIALIZED (
    SELECT * FROM {_STEPS.unnest} AS asked({_STEPS.names})
), stepped AS (
    UPDATE schedule SET next_at = asked.next_at
    FROM asked
    WHERE schedule.name = asked.name AND schedule.next_at = asked.moment AND NOT schedule.paused
    RETURNING asked.id, schedule.name, schedule.source, schedule.document, schedule.document_bytes
), submitted AS (
    INSERT INTO job (id, source, document, document_bytes, submitted_by, attempts, timeout)
    SELECT id, source, document, document_bytes, 'schedule ' || name, coalesce(attempts, {DEFAULT_ATTEMPTS}), timeout
    FROM stepped LEFT JOIN (SELECT source, attempts, timeout FROM source_rule) AS rule USING (source)
    WHERE id IS NOT NULL
    ON CONFLICT (id) DO NOTHING
    RETURNING id, source, submitted_by
)
SELECT stepped.name, submitted.id, submitted.source, submitted.submitted_by
FROM stepped LEFT JOIN submitted USING (id)
""",
)


class Stepped(NamedTuple):
    """A step that was taken: the schedule's name, and the job that was submitted; None when none was."""

    name: str
    id: str | None
    source: str | None
    submitted_by: str | None


async def step_schedules(pool: Pool, steps: Sequence[Step]) -> list[Stepped]:
    """Take these steps, each unless another replica has; return those that were taken.

    A job whose id exists already is not submitted.
    """
    rows = await fetch(pool, STEP_SCHEDULES, *_STEPS.of(steps))
    return [Stepped(**row) for row in rows]


def _schedule(row: Record) -> Schedule:
    return Schedule(**{name: row[name] for name in Schedule._fields if name != "missed"}, missed=Missed(row["missed"]))


def _none(name: str) -> NoSchedule:
    return NoSchedule(f"there is no schedule called {name}")
