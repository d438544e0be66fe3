"""`/schedule`: jobs that Boss submits by itself, at the moments of a cron line."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import orjson

from boss.dispatch.queries import Queries
from boss.dispatch.schedules import Schedules
from boss.http import auth, json_body
from boss.http.auth import requires
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import JSON, NO_STORE, Response
from boss.model import job
from boss.model.document import check_object
from boss.model.permissions import Permission
from boss.model.schedule import Missed, Schedule, check_schedule_name

_UTC = orjson.OPT_UTC_Z
_EXAMPLE = '{"source": "freg", "cron": "0 3 * * *", "zone": "Europe/Oslo", "job": {"year": 2026}}'
# A larger document is not read from a schedule.
_MOST_DOCUMENT = 64 * 1024
# Until its next moment is found out.
_UNKNOWN = datetime.min.replace(tzinfo=UTC)


class _NewSchedule(msgspec.Struct, forbid_unknown_fields=True):
    """A schedule in a PUT. It replaces the one of its name."""

    source: str
    cron: str
    zone: str = "UTC"
    job: msgspec.Raw = msgspec.Raw(b"{}")
    missed: Missed = Missed.RUN_ONCE
    paused: bool = False


def resources(schedules: Schedules, queries: Queries) -> Sequence[Resource]:
    """The resources."""

    @requires(Permission.READ)
    async def list_schedules(request: Request) -> Response:
        """GET /schedule: every schedule, by name, with its next moment."""
        request.query()
        found = [_shown(each) for each in await queries.schedules() if request.principal.reaches(each.source)]
        return Response(200, [JSON, NO_STORE], orjson.dumps({"schedules": found}, option=_UTC))

    @requires(Permission.READ)
    async def read(request: Request) -> Response:
        """GET /schedule/{name}: that schedule."""
        request.query()
        found = await queries.schedule(_name(request))
        auth.check_source_reached(request.principal, found.source)
        return _answer(found)

    @requires(Permission.ADMINISTER)
    async def put(request: Request) -> Response:
        """PUT /schedule/{name}: set that schedule, in place of the one of its name."""
        request.query()
        name = _name(request)
        asked = await json_body.read(request, _NewSchedule, _EXAMPLE)
        source = job.check_new_source(asked.source)
        document = check_object(bytes(asked.job), "the job", _MOST_DOCUMENT)
        new = Schedule(
            name=name,
            source=source,
            cron=asked.cron,
            zone=asked.zone,
            document=document.text,
            document_bytes=document.size,
            missed=asked.missed,
            paused=asked.paused,
            next_at=_UNKNOWN,
        )
        return _answer(await schedules.set(new, request.principal.name))

    @requires(Permission.ADMINISTER)
    async def delete(request: Request) -> Response:
        """DELETE /schedule/{name}: delete that schedule. Its jobs stay."""
        request.query()
        await schedules.delete(_name(request), request.principal.name)
        return Response(204, [])

    @requires(Permission.ADMINISTER)
    async def run(request: Request) -> Response:
        """POST /schedule/{name}: submit a job of that schedule now, also while it is paused."""
        request.query()
        made = await schedules.run_now(_name(request), request.principal.name)
        location = (b"location", f"/job/available/{made.source}/{made.id}".encode())
        return Response(201, [JSON, NO_STORE, location], orjson.dumps({"id": made.id, "source": made.source}))

    return [
        Resource("/schedule", {"GET": list_schedules}),
        Resource("/schedule/{name}", {"GET": read, "PUT": put, "DELETE": delete, "POST": run}),
    ]


def _name(request: Request) -> str:
    return check_schedule_name(request.path_param("name"))


def _answer(schedule: Schedule) -> Response:
    return Response(200, [JSON, NO_STORE], orjson.dumps(_shown(schedule), option=_UTC))


def _shown(schedule: Schedule) -> dict[str, object]:
    return {
        "name": schedule.name,
        "source": schedule.source,
        "cron": schedule.cron,
        "zone": schedule.zone,
        "job": orjson.Fragment(schedule.document),
        "missed": schedule.missed,
        "paused": schedule.paused,
        "next": None if schedule.paused else schedule.next_at,
    }
