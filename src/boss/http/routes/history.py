"""`/history` and `/source/{source}/history`: what sources did in the last hour or day."""

from collections.abc import Sequence

import orjson

from boss.dispatch.queries import Queries
from boss.errors import BadInput
from boss.http.auth import requires
from boss.http.overview_json import series_json
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import JSON, NO_STORE, Response
from boss.model import job
from boss.model.history import Span
from boss.model.permissions import Permission

_SPANS = {span.text: span for span in Span}


def resources(queries: Queries) -> Sequence[Resource]:
    """The resources."""

    @requires(Permission.READ)
    async def of_all(request: Request) -> Response:
        """GET /history: what all sources of the token did together."""
        span = _span(request)
        found = await queries.history(request.principal.sources, span)
        return _response(series_json(None, span, found))

    @requires(Permission.READ)
    async def of_source(request: Request) -> Response:
        """GET /source/{source}/history: what one source did."""
        span, source = _span(request), job.check_source(request.path_param("source"))
        return _response(series_json(source, span, await queries.history([source], span)))

    return [Resource("/history", {"GET": of_all}), Resource("/source/{source}/history", {"GET": of_source})]


def _span(request: Request) -> Span:
    text = request.query(("span",)).get("span", Span.HOUR.text)
    if text not in _SPANS:
        raise BadInput(f"the span is {text!r}; it is one of {', '.join(_SPANS)}")
    return _SPANS[text]


def _response(body: dict[str, object]) -> Response:
    return Response(200, [JSON, NO_STORE], orjson.dumps(body, option=orjson.OPT_UTC_Z))
