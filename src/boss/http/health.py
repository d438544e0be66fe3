"""Whether this Boss lives, whether it can serve, and how well the database does its work."""

import asyncio
from collections.abc import Sequence

import orjson
from starlette.routing import BaseRoute

from boss.access import Right
from boss.dispatcher import Dispatcher
from boss.errors import DatabaseAway
from boss.health import worst
from boss.http.exchange import JSON, NO_STORE, Ask, route
from boss.http.guard import needs
from boss.http.problems import Answer

# The path at which even a server that is shutting down says that it lives.
LIVE = "/health/live"
# A database that takes longer to say anything is away, in seconds.
_PATIENCE = 2


def routes(dispatcher: Dispatcher) -> Sequence[BaseRoute]:
    """The routes."""

    @needs(Right.PUBLIC)
    async def live(ask: Ask) -> Answer:
        """GET /health/live: 200 for as long as this process answers at all."""
        ask.query()
        return Answer(200, [JSON, NO_STORE], b'{"live":true}')

    @needs(Right.PUBLIC)
    async def ready(ask: Ask) -> Answer:
        """GET /health/ready: 200 when requests can be served; 503 while the database is away or the server drains."""
        ask.query()
        try:
            async with asyncio.timeout(_PATIENCE):
                await dispatcher.reach_database()
        except TimeoutError as error:
            raise DatabaseAway(f"the database has not answered for {_PATIENCE} s") from error
        return Answer(200, [JSON, NO_STORE], b'{"ready":true}')

    @needs(Right.OVERSEE)
    async def health(ask: Ask) -> Answer:
        """GET /health: what an examination of the database finds, each with a verdict and what to do."""
        ask.query()
        findings = await dispatcher.examine()
        body = {"verdict": worst(findings), "findings": [finding._asdict() for finding in findings]}
        return Answer(200, [JSON, NO_STORE], orjson.dumps(body))

    return [
        route("/health", {"GET": health}),
        route(LIVE, {"GET": live}),
        route("/health/ready", {"GET": ready}),
    ]
