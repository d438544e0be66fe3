"""`/converter`: the converters that name themselves."""

from collections.abc import Sequence

import orjson

from boss.dispatch.queries import Queries
from boss.http.auth import requires
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import JSON, NO_STORE, Response
from boss.model.permissions import Permission

_UTC = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


def resources(queries: Queries) -> Sequence[Resource]:
    """The resource."""

    @requires(Permission.READ)
    async def list_converters(request: Request) -> Response:
        """GET /converter: the converters that were heard of in the last hour or hold jobs, with what they hold."""
        request.query()
        found = [each._asdict() for each in await queries.converters(request.principal.sources)]
        return Response(200, [JSON, NO_STORE], orjson.dumps({"converters": found}, option=_UTC))

    return [Resource("/converter", {"GET": list_converters})]
