"""`/token` and `/audit`: the access tokens, and the audit log of administrators' actions."""

from collections.abc import Sequence

import msgspec
import orjson

from boss.dispatch.queries import Queries
from boss.dispatch.tokens import Tokens
from boss.errors import BadInput
from boss.http import json_body, parameters
from boss.http.auth import requires
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import JSON, NO_STORE, Response
from boss.model.permissions import Permission, Role, Token

_PAGE = 100
_UTC = orjson.OPT_UTC_Z
_EXAMPLE = '{"role": "converter", "sources": ["freg"], "expires": 7776000}'


class _NewToken(msgspec.Struct, forbid_unknown_fields=True):
    """A new token: for all sources without `sources`, valid for ever without `expires` (in seconds)."""

    role: Role
    sources: list[str] | None = None
    expires: float | None = None


def resources(queries: Queries, tokens: Tokens) -> Sequence[Resource]:
    """The resources."""

    @requires(Permission.ADMINISTER)
    async def list_tokens(request: Request) -> Response:
        """GET /token: every token, also expired and revoked ones, with its properties; never the token itself."""
        request.query()
        found = [_shown(token) for token in await queries.list_tokens()]
        return Response(200, [JSON, NO_STORE], orjson.dumps({"tokens": found}, option=_UTC))

    @requires(Permission.ADMINISTER)
    async def create(request: Request) -> Response:
        """POST /token/{name}: create a token. Only this response ever contains the token itself."""
        request.query()
        asked = await json_body.read(request, _NewToken, _EXAMPLE)
        by, name = request.principal.name, request.path_param("name")
        secret, token = await tokens.create(name, asked.role, asked.sources, asked.expires, by)
        return Response(201, [JSON, NO_STORE], orjson.dumps({"token": secret, **_shown(token)}, option=_UTC))

    @requires(Permission.ADMINISTER)
    async def revoke(request: Request) -> Response:
        """DELETE /token/{name}: revoke the token. It is invalid here at once, on other replicas within a second."""
        request.query()
        await tokens.revoke(request.path_param("name"), request.principal.name)
        return Response(204, [])

    @requires(Permission.ADMINISTER)
    async def audit(request: Request) -> Response:
        """GET /audit: a page of administrators' actions that are not kept with a job, newest first, and its next page.

        `next` is the next page's address.
        """
        query = request.query(("before", "limit"))
        limit = parameters.limit(query, default=_PAGE)
        events = await queries.audit_events(_before(query.get("before")), limit)
        following = f"/audit?limit={limit}&before={events[-1].number}" if len(events) == limit else None
        found = [{**event._asdict(), "what": orjson.Fragment(event.what)} for event in events]
        return Response(200, [JSON, NO_STORE], orjson.dumps({"acts": found, "next": following}, option=_UTC))

    return [
        Resource("/token", {"GET": list_tokens}),
        Resource("/token/{name}", {"POST": create, "DELETE": revoke}),
        Resource("/audit", {"GET": audit}),
    ]


def _before(number: str | None) -> int | None:
    if number is None:
        return None
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise BadInput(f"before is {number[:120]!a}; it takes the number of an audit event")
    return int(number)


def _shown(token: Token) -> dict[str, object]:
    return {
        "name": token.name,
        "role": token.role,
        "sources": token.sources,
        "created": token.created_at,
        "created_by": token.created_by,
        "expires": token.expires_at,
        "revoked": token.revoked_at,
        "used": token.used_at,
    }
