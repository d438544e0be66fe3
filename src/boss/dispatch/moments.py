"""The moments of a cron line in a time zone. The library does as Debian's cron does when clocks are changed.

A moment that is left out when clocks go forward comes right after the gap. One that comes twice when they go back comes
once, unless the line says every hour or every minute.
"""

from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from boss.errors import BadInput

_FIELDS = 5
_LONGEST = 200
# These are not the same everywhere, or no time zones.
_NOT_ZONES = {"localtime", "Factory"}
_EXAMPLE = '"0 3 * * *" (minute, hour, day of month, month, day of week)'


def next_moment(cron: str, zone: str, after: datetime) -> datetime:
    """The first moment after this time, in UTC.

    Raises:
        BadInput: the cron line or the time zone is malformed, or there is no such moment within 50 years.
    """
    if len(cron.split()) != _FIELDS or len(cron) > _LONGEST:
        raise BadInput(
            f"the cron line is {cron[:100]!a}; it takes {_FIELDS} fields and at most {_LONGEST} characters, "
            f"such as {_EXAMPLE}"
        )
    try:
        moments = CronSim(cron, after.astimezone(_zone(zone)))
        # In an hour that comes twice, the library begins with the first time that it comes.
        found: datetime = next(moments)
        while found <= after:
            found = next(moments)
    except CronSimError as error:
        what = str(error).removeprefix("Bad ").replace("-", " ")
        raise BadInput(
            f"the cron line is {cron[:100]!a}, and its {what} is not possible; a cron line is such as {_EXAMPLE}"
        ) from None
    except StopIteration:
        raise BadInput(f"the cron line {cron[:100]!a} has no moment within 50 years") from None
    return found.astimezone(UTC)


def last_moment(cron: str, zone: str, until: datetime) -> datetime:
    """The last moment up to this time, in UTC; there must be one."""
    # The library's moments lie before the time that it is given.
    before = (until.astimezone(UTC) + timedelta(seconds=1)).astimezone(_zone(zone))
    found: datetime = next(CronSim(cron, before, reverse=True))
    return found.astimezone(UTC)


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    known = _zones()
    if name not in known:
        close = get_close_matches(name, known, n=1)
        meant = f"; did you mean {close[0]}?" if close else "; it takes a name such as Europe/Oslo or UTC"
        raise BadInput(f"the time zone is {name[:100]!a}, which is unknown{meant}")
    return ZoneInfo(name)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - _NOT_ZONES)
