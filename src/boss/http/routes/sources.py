"""`/source`: the sources and their limits."""

from collections.abc import Sequence

import msgspec
import orjson

from boss.dispatch.dispatcher import Dispatcher
from boss.dispatch.queries import Queries
from boss.errors import BadInput
from boss.http import json_body
from boss.http.auth import requires
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import JSON, NO_STORE, Response
from boss.model import job
from boss.model.job import SourceLimit, State
from boss.model.permissions import Permission

_MOST_ACTIVE = 1_000_000
_EXAMPLE = '{"paused": true} or {"limit": 4}'


class _Limits(msgspec.Struct, forbid_unknown_fields=True):
    """The limits of a source in a PUT, which replaces all earlier limits. An absent field means no such limit."""

    paused: bool = False
    limit: int | None = None


def resources(dispatcher: Dispatcher, queries: Queries) -> Sequence[Resource]:
    """The resources."""

    @requires(Permission.READ)
    async def sources(request: Request) -> Response:
        """GET /source: every source with its limits and the number of its jobs in each state."""
        request.query()
        found = [
            {**_limits(limits), **{state.value: counts[state] for state in State}}
            for limits, counts in await queries.sources()
            if request.principal.reaches(limits.source)
        ]
        return Response(200, [JSON, NO_STORE], orjson.dumps({"sources": found}))

    @requires(Permission.ADMINISTER)
    async def put(request: Request) -> Response:
        """PUT /source/{source}: set the source's limits, `{"paused": true}` or `{"limit": 4}`; `{}` removes them."""
        request.query()
        source = job.check_source(request.path_param("source"))
        asked = await json_body.read(request, _Limits, _EXAMPLE)
        if asked.limit is not None and not 0 < asked.limit <= _MOST_ACTIVE:
            raise BadInput(
                f'the limit is {asked.limit}; it takes a whole number from 1 to {_MOST_ACTIVE}, or {{"paused": true}}'
            )
        limits = await dispatcher.set_limit(source, asked.paused, asked.limit, request.principal.name)
        return Response(200, [JSON, NO_STORE], orjson.dumps(_limits(limits)))

    @requires(Permission.ADMINISTER)
    async def delete(request: Request) -> Response:
        """DELETE /source/{source}: delete the limits and the counts of a source that has no jobs."""
        request.query()
        source = job.check_source(request.path_param("source"))
        await dispatcher.delete_source(source, request.principal.name)
        return Response(204, [NO_STORE])

    return [Resource("/source", {"GET": sources}), Resource("/source/{source}", {"PUT": put, "DELETE": delete})]


def _limits(limits: SourceLimit) -> dict[str, object]:
    return {"source": limits.source, "paused": limits.paused, "limit": limits.most_active}
