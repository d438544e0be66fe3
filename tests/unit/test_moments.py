"""The moments of cron lines, also where clocks are changed."""

from datetime import UTC, datetime

import pytest

from boss.dispatch.moments import last_moment, next_moment
from boss.errors import BadInput


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 3 * * *", "UTC", "2026-11-26T02:59", "2026-11-26T03:00"),
        ("0 3 * * *", "UTC", "2026-11-26T03:00", "2026-11-27T03:00"),
        ("0 3 * * *", "Europe/Oslo", "2026-11-26T01:00", "2026-11-26T02:00"),
        ("0 9 * * MON-FRI", "America/New_York", "2026-11-27T15:00", "2026-11-30T14:00"),
        # Clocks go forward: 02:30 does not exist on that day, and comes right after the gap.
        ("30 2 * * *", "Europe/Oslo", "2026-03-28T12:00", "2026-03-29T01:00"),
        ("30 2 * * *", "Europe/Oslo", "2026-03-29T01:00", "2026-03-30T00:30"),
        # Clocks go back: 02:30 exists twice on that day, and comes once.
        ("30 2 * * *", "Europe/Oslo", "2026-10-24T12:00", "2026-10-25T00:30"),
        ("30 2 * * *", "Europe/Oslo", "2026-10-25T00:30", "2026-10-26T01:30"),
        # Asked within the hour that comes twice, it is over, whichever of the two it is.
        ("30 2 * * *", "Europe/Oslo", "2026-10-25T01:10", "2026-10-26T01:30"),
        ("30 2 * * *", "Europe/Oslo", "2026-10-25T00:40", "2026-10-26T01:30"),
        ("30 1 * * *", "America/St_Johns", "2026-11-01T04:40", "2026-11-02T05:00"),
        # Every half hour is every half hour.
        ("*/30 * * * *", "Europe/Oslo", "2026-10-25T00:30", "2026-10-25T01:00"),
        ("*/30 * * * *", "Europe/Oslo", "2026-10-25T01:00", "2026-10-25T01:30"),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00", "2028-02-29T00:00"),
    ],
)
def test_the_next_moment(cron: str, zone: str, after: str, expected: str) -> None:
    found = next_moment(cron, zone, utc(after))
    assert found == utc(expected)
    assert last_moment(cron, zone, found) == found


def test_the_last_moment() -> None:
    assert last_moment("0 * * * *", "Europe/Oslo", utc("2026-11-26T18:21:03.5")) == utc("2026-11-26T18:00")
    assert last_moment("30 2 * * *", "Europe/Oslo", utc("2026-10-25T12:00")) == utc("2026-10-25T00:30")


@pytest.mark.parametrize(
    ("cron", "zone", "says"),
    [
        ("61 * * * *", "UTC", "its minute is not possible"),
        ("0 0 30 2 *", "UTC", "its day of month is not possible"),
        ("* * * *", "UTC", "it takes 5 fields"),
        # With seconds there would be a job each second.
        ("* * * * * *", "UTC", "it takes 5 fields"),
        ("@daily", "UTC", "it takes 5 fields"),
        ("0," * 200 + "0 3 * * *", "UTC", "at most 200 characters"),
        ("*/" + "9" * 5000 + " * * * *", "UTC", "at most 200 characters"),
        ("0 3 * * *", "localtime", "unknown"),
        ("0 3 * * *", "Factory", "unknown"),
        ("0 0 29 2 MON#5", "Mars/Olympus", "unknown"),
        ("0 3 * * *", "Europe/Olso", "did you mean Europe/Oslo"),
        ("0 3 * * *", "../../etc/passwd", "unknown"),
        ("0 3 * * *", "Europe", "unknown"),
        ("0 3 * * *", "", "unknown"),
    ],
)
def test_what_is_malformed(cron: str, zone: str, says: str) -> None:
    with pytest.raises(BadInput, match=says.replace("*", r"\*")):
        next_moment(cron, zone, utc("2026-11-26T00:00"))
