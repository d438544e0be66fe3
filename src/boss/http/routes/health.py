"""`/health`: whether this process lives, whether it can serve, and what a diagnosis of the database finds."""

import asyncio
from collections.abc import Sequence

import orjson

from boss.dispatch.queries import Queries
from boss.errors import DatabaseAway
from boss.http.auth import requires
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import JSON, NO_STORE, Response
from boss.model.diagnosis import worst
from boss.model.permissions import Permission

# The path that answers 200 even while the server drains.
LIVE = "/health/live"
# How long the database may take to answer before it counts as away, in seconds.
_TIMEOUT_S = 2


def resources(queries: Queries) -> Sequence[Resource]:
    """The resources."""

    @requires(Permission.PUBLIC)
    async def live(request: Request) -> Response:
        """GET /health/live: 200 as long as this process answers at all."""
        request.query()
        return Response(200, [JSON, NO_STORE], b'{"live":true}')

    @requires(Permission.PUBLIC)
    async def ready(request: Request) -> Response:
        """GET /health/ready: 200 when requests can be served; 503 while the database is away or the server drains."""
        request.query()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await queries.reach_database()
        except TimeoutError as error:
            raise DatabaseAway(f"the database has not answered for {_TIMEOUT_S} s") from error
        return Response(200, [JSON, NO_STORE], b'{"ready":true}')

    @requires(Permission.MONITOR)
    async def health(request: Request) -> Response:
        """GET /health: the findings of a diagnosis of the database, each with a verdict and what to do."""
        request.query()
        findings = await queries.diagnose()
        body = {"verdict": worst(findings), "findings": [finding._asdict() for finding in findings]}
        return Response(200, [JSON, NO_STORE], orjson.dumps(body))

    return [
        Resource("/health", {"GET": health}),
        Resource(LIVE, {"GET": live}),
        Resource("/health/ready", {"GET": ready}),
    ]
