"""Schedules: jobs that Boss submits by itself, at the moments of a cron line."""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from boss.errors import BadInput

# A moment's job has the schedule's name, a dash and the moment as its id, and an id has 64 characters at most.
LONGEST_NAME = 64 - len("-20261126T020000Z")
_NAME = re.compile(rf"[A-Za-z0-9._~-]{{1,{LONGEST_NAME}}}")


class Missed(StrEnum):
    """What to do about moments that passed while no Boss was running."""

    RUN_ONCE = "run once"
    SKIP = "skip"


class Schedule(NamedTuple):
    """A schedule.

    Attributes:
        name: its name, unique.
        source: the source of its jobs.
        cron: a cron line of five fields.
        zone: the time zone of the cron line, by its name in the IANA time zone database.
        document: the document of its jobs, as JSON text.
        document_bytes: the size of that text.
        missed: what to do about moments that passed while no Boss was running.
        paused: whether it submits no jobs.
        next_at: its next moment.
    """

    name: str
    source: str
    cron: str
    zone: str
    document: str
    document_bytes: int
    missed: Missed
    paused: bool
    next_at: datetime


def check_schedule_name(name: str) -> str:
    """The name of a schedule.

    Raises:
        BadInput: it cannot be one.
    """
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise BadInput(
            f"the name of a schedule is {name!a}; it takes 1 to {LONGEST_NAME} of the characters A-Z a-z 0-9 . _ ~ -"
        )
    return name


def job_id(name: str, moment: datetime) -> str:
    """The id of a schedule's job of one moment. Over any number of replicas there is one job with it."""
    return f"{name}-{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"
