"""`/source`: what sources there are, and what each is held to."""

from collections.abc import Mapping, Sequence

import msgspec
import orjson
from starlette.routing import BaseRoute

from boss import job
from boss.access import Right
from boss.dispatcher import Dispatcher
from boss.errors import BadInput
from boss.http import body
from boss.http.exchange import JSON, NO_STORE, Ask, route
from boss.http.guard import needs
from boss.http.problems import Answer
from boss.job import SourceRule, State

_MOST_ACTIVE = 1_000_000
_EXAMPLE = '{"paused": true} or {"limit": 4}'


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    """What is left out is not so: the rule that is put is the whole rule."""

    paused: bool = False
    limit: int | None = None


def routes(dispatcher: Dispatcher) -> Sequence[BaseRoute]:
    """The routes."""

    @needs(Right.READ)
    async def sources(ask: Ask) -> Answer:
        """GET /source: every source with its rule and how many jobs it has in each state."""
        ask.query()
        found = [_shown(rule, counts) for rule, counts in await dispatcher.sources() if ask.access.reaches(rule.source)]
        return Answer(200, [JSON, NO_STORE], orjson.dumps({"sources": found}))

    @needs(Right.ADMINISTER)
    async def put(ask: Ask) -> Answer:
        """PUT /source/{source}: hold it to a rule from now on, `{"paused": true}` or `{"limit": 4}`; `{}` to none."""
        ask.query()
        source = job.check_source(ask.part("source"))
        asked = await body.read(ask, _Rule, _EXAMPLE)
        if asked.limit is not None and not 0 < asked.limit <= _MOST_ACTIVE:
            raise BadInput(
                f'the limit is {asked.limit}; it takes a whole number from 1 to {_MOST_ACTIVE}, or {{"paused": true}}'
            )
        rule = await dispatcher.set_rule(source, asked.paused, asked.limit, ask.access.name)
        return Answer(200, [JSON, NO_STORE], orjson.dumps(rule._asdict()))

    return [route("/source", {"GET": sources}), route("/source/{source}", {"PUT": put})]


def _shown(rule: SourceRule, counts: Mapping[State, int]) -> dict[str, object]:
    return {**rule._asdict(), **{state.value: counts[state] for state in State}}
