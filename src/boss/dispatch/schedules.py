"""Schedules: kept for administrators, and looked after by maintenance."""

import logging
from datetime import datetime, timedelta

from boss.dispatch.dispatcher import Dispatcher
from boss.dispatch.moments import last_moment, next_moment
from boss.errors import BadInput
from boss.model.job import DEFAULT_ATTEMPTS, Submission
from boss.model.schedule import Missed, Schedule, job_id
from boss.postgres import store
from boss.postgres.connection import Pool
from boss.postgres.store import Step
from boss.telemetry import job_counts, job_log, metrics
from boss.telemetry.job_log import JobEvent

log = logging.getLogger("boss")

# A moment that passed longer ago than this was missed: no Boss was running, or none reached the database.
_LATE = timedelta(seconds=60)


class Schedules:
    """Sets, deletes and runs schedules for administrators.

    Every method raises `DatabaseAway` when PostgreSQL does not answer.

    Args:
        pool: the connection pool.
        dispatcher: submits the job of a schedule that is run now.
    """

    def __init__(self, pool: Pool, dispatcher: Dispatcher) -> None:
        self._pool = pool
        self._dispatcher = dispatcher

    async def set(self, new: Schedule, by: str | None) -> Schedule:
        """Set a schedule in place of the one of its name.

        Its first moment is the next one from now on. If its moments stay what they were, one that has come and was not
        looked after yet is not lost.

        Args:
            new: the schedule; its `next_at` is not used.
            by: the name of the principal's token, for the audit event.

        Raises:
            BadInput: the cron line or the time zone is malformed, or jsonb cannot keep the document.
        """
        cron = " ".join(new.cron.split())
        next_at = next_moment(cron, new.zone, await store.database_time(self._pool))
        return await store.set_schedule(self._pool, new._replace(cron=cron, next_at=next_at), by)

    async def delete(self, name: str, by: str | None) -> None:
        """Delete a schedule. Its jobs stay.

        Raises:
            NoSchedule: there is none of this name.
        """
        await store.delete_schedule(self._pool, name, by)

    async def run_now(self, name: str, by: str | None) -> Submission:
        """Submit a job of this schedule now, also while it is paused. Its next moment stays as it is.

        Raises:
            NoSchedule: there is none of this name.
            IdTaken: it was run within this second already.
            TooMany: its source has as many available jobs as it may have.
        """
        found = await store.schedule(self._pool, name)
        rule = self._dispatcher.rule(found.source)
        submission = Submission(
            id=job_id(name, await store.database_time(self._pool)),
            source=found.source,
            document=found.document,
            document_bytes=found.document_bytes,
            by=by,
            attempts=rule.attempts or DEFAULT_ATTEMPTS,
            timeout=rule.timeout,
        )
        await self._dispatcher.submit(submission)
        return submission


async def submit_due(pool: Pool) -> None:
    """Submit the job of each moment that has come. Several replicas may do this at once: each moment makes one job."""
    due = await store.due_schedules(pool)
    steps = {schedule.name: step for schedule, now in due if (step := _step(schedule, now))}
    if not steps:
        return
    stepped = await store.step_schedules(pool, list(steps.values()))
    events = [JobEvent(each.id, each.source, by=each.submitted_by) for each in stepped if each.id and each.source]
    job_counts.submitted(event.source for event in events)
    metrics.SCHEDULED.inc(len(events))
    job_log.record("submitted", events)
    for each in stepped:
        id = steps[each.name].id
        if id is None:
            log.warning("no Boss was running at the last moment of the schedule %s; it is skipped", each.name)
        elif each.id is None:
            log.warning("the schedule %s did not submit %s, because a job has this id already", each.name, id)


def _step(schedule: Schedule, now: datetime) -> Step | None:
    """What becomes of a schedule whose next moment has come. Of several that have passed the last one counts.

    None when its moments cannot be found out here: another replica may know its time zone.
    """
    try:
        moment = max(last_moment(schedule.cron, schedule.zone, now), schedule.next_at)
        next_at = next_moment(schedule.cron, schedule.zone, now)
    except BadInput as error:
        log.error("the schedule %s submits no jobs here: %s", schedule.name, error)
        return None
    is_skipped = schedule.missed is Missed.SKIP and now - moment > _LATE
    return Step(
        name=schedule.name,
        moment=schedule.next_at,
        next_at=next_at,
        id=None if is_skipped else job_id(schedule.name, moment),
    )
