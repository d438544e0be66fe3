"""`/source`: the sources and their limits."""

import re
from collections.abc import Mapping, Sequence

import msgspec
import orjson

from boss.dispatch.dispatcher import Dispatcher
from boss.dispatch.queries import Queries
from boss.errors import BadInput
from boss.http import json_body, parameters
from boss.http.auth import requires
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import JSON, NO_STORE, Header, Response
from boss.model import job
from boss.model.job import LONGEST_LEASE, LONGEST_TIMEOUT_S, MOST_ATTEMPTS, State
from boss.model.permissions import Permission
from boss.model.source_rule import (
    HIGHEST_RATE,
    LONGEST_KEEP_DONE_DAYS,
    LONGEST_RETRY_DELAY_S,
    LOWEST_RATE,
    MOST_DELAYS,
    SourceRule,
)

_VERSION = re.compile(rf'(?:W/)?"([0-9a-f]{{16}}){parameters.CODING}"')
_EXAMPLE = '{"paused": true} or {"limit": 4, "rate": 5}'
# The least and the most of each field that is a number, and what it takes.
_RANGES = {
    "limit": (1, 1_000_000, "a whole number"),
    "attempts": (1, MOST_ATTEMPTS, "a whole number"),
    "lease": (0, LONGEST_LEASE, "a whole number"),
    "timeout": (1, LONGEST_TIMEOUT_S, "a whole number"),
    "rate": (LOWEST_RATE, HIGHEST_RATE, "jobs a second"),
    "keep_done": (0, LONGEST_KEEP_DONE_DAYS, "days"),
}
# What somebody may mean by a field that is 0.
_INSTEAD_OF_ZERO = {"limit": ', or {"paused": true}', "rate": ', or {"paused": true}', "timeout": ", or null for none"}


class _Rule(msgspec.Struct, forbid_unknown_fields=True):
    """The rule of a source in a PUT, which replaces its earlier rule. An absent field says nothing."""

    paused: bool = False
    limit: int | None = None
    attempts: int | None = None
    delays: tuple[float, ...] | None = None
    lease: int | None = None
    timeout: int | None = None
    rate: float | None = None
    keep_done: float | None = None


def resources(dispatcher: Dispatcher, queries: Queries) -> Sequence[Resource]:
    """The resources."""

    @requires(Permission.READ)
    async def sources(request: Request) -> Response:
        """GET /source: every source with its rule and the number of its jobs in each state."""
        request.query()
        found = [
            _record(rule, counts) for rule, counts in await queries.sources() if request.principal.reaches(rule.source)
        ]
        return Response(200, [JSON, NO_STORE], orjson.dumps({"sources": found}))

    @requires(Permission.READ)
    async def read(request: Request) -> Response:
        """GET /source/{source}: that source, also when it never had a job; the ETag is the version of its rule."""
        request.query()
        rule, counts = await queries.source(job.check_source(request.path_param("source")))
        return Response(200, [JSON, NO_STORE, _etag(rule)], orjson.dumps(_record(rule, counts)))

    @requires(Permission.ADMINISTER)
    async def put(request: Request) -> Response:
        """PUT /source/{source}: set the source's rule, such as `{"limit": 4, "attempts": 3}`; `{}` removes it."""
        request.query()
        source = job.check_source(request.path_param("source"))
        version = _version(request.header(b"if-match"))
        rule = _checked(source, await json_body.read(request, _Rule, _EXAMPLE))
        await dispatcher.set_rule(rule, request.principal.name, version)
        return Response(200, [JSON, NO_STORE, _etag(rule)], orjson.dumps(rule.named()))

    @requires(Permission.ADMINISTER)
    async def delete(request: Request) -> Response:
        """DELETE /source/{source}: delete the limits and the counts of a source that has no jobs."""
        request.query()
        source = job.check_source(request.path_param("source"))
        await dispatcher.delete_source(source, request.principal.name)
        return Response(204, [NO_STORE])

    one = Resource("/source/{source}", {"GET": read, "PUT": put, "DELETE": delete})
    return [Resource("/source", {"GET": sources}), one]


def _record(rule: SourceRule, counts: Mapping[State, int]) -> dict[str, object]:
    return {**rule.named(), **{state.value: counts[state] for state in State}}


def _etag(rule: SourceRule) -> Header:
    return b"etag", f'"{rule.version}"'.encode()


def _version(if_match: str | None) -> str | None:
    """The version that the header If-Match names; None when every version matches."""
    if if_match is None or if_match.strip() == "*":
        return None
    if found := _VERSION.fullmatch(if_match.strip()):
        return found[1]
    raise BadInput(f"the If-Match is {if_match[:120]!a}; it takes the one ETag that GET /source/… answered, in quotes")


def _checked(source: str, asked: _Rule) -> SourceRule:
    for field, (least, most, takes) in _RANGES.items():
        value = getattr(asked, field)
        if value is not None and not least <= value <= most:
            instead = _INSTEAD_OF_ZERO.get(field, "") if value == 0 else ""
            said = f"{value:.10g}" if isinstance(value, float) else value
            raise BadInput(f"the {field} is {said}; it takes {takes} from {least} to {most}{instead}")
    _check_delays(asked.delays)
    return SourceRule(
        source=source,
        paused=asked.paused,
        most_active=asked.limit,
        attempts=asked.attempts,
        delays=asked.delays,
        lease=asked.lease,
        timeout=asked.timeout,
        rate=asked.rate,
        keep_done=asked.keep_done,
    )


def _check_delays(delays: tuple[float, ...] | None) -> None:
    if delays is None:
        return
    if not 1 <= len(delays) <= MOST_DELAYS:
        raise BadInput(f"there are {len(delays)} delays; they take 1 to {MOST_DELAYS} numbers of seconds")
    for delay in delays:
        if not 0 <= delay <= LONGEST_RETRY_DELAY_S:
            raise BadInput(f"one of the delays is {delay:g}; each takes seconds from 0 to {LONGEST_RETRY_DELAY_S}")
