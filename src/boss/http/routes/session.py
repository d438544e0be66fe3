"""`/session`: how the dashboard signs in. Its access token is then in a cookie.

Scripts cannot read the cookie (HttpOnly), and browsers do not send it with requests from other sites (SameSite=Strict).
Boss also refuses requests from other sites (browser.py), so it needs no CSRF token.
"""

from collections.abc import Sequence

import msgspec
import orjson

from boss.dispatch.tokens import Tokens
from boss.errors import Unauthenticated
from boss.http import json_body
from boss.http.auth import requires
from boss.http.browser import COOKIE
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import JSON, NO_STORE, Header, Response
from boss.model.permissions import Permission, Principal
from boss.settings import Settings


class _SignIn(msgspec.Struct, forbid_unknown_fields=True):
    token: str


def resources(tokens: Tokens, settings: Settings) -> Sequence[Resource]:
    """The resource."""

    def cookie(request: Request, value: str, more: str = "") -> Header:
        # Behind a proxy with TLS only the dashboard's own address, the Origin, tells that the browser uses TLS.
        by_tls = settings.tls_cert or (request.header(b"origin") or "").startswith("https://")
        secure = "; Secure" if by_tls else ""
        text = f"{COOKIE.decode()}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}"
        return b"set-cookie", text.encode()

    @requires(Permission.PUBLIC)
    async def who(request: Request) -> Response:
        """GET /session: the principal of this request; 401 when it needs a valid token and has none."""
        request.query()
        if request.principal.role is None:
            raise Unauthenticated("sign in with a token")
        return Response(200, [JSON, NO_STORE], orjson.dumps(_shown(request.principal)))

    @requires(Permission.PUBLIC)
    async def sign_in(request: Request) -> Response:
        """POST /session: set a cookie with the token in the body, `{"token": "boss_…"}`, if it is valid."""
        request.query()
        asked = await json_body.read(request, _SignIn, '{"token": "boss_…"}')
        principal = tokens.principal(asked.token)
        if principal is None:
            raise Unauthenticated("this token is unknown, expired or revoked")
        return Response(200, [JSON, NO_STORE, cookie(request, asked.token)], orjson.dumps(_shown(principal)))

    @requires(Permission.PUBLIC)
    async def sign_out(request: Request) -> Response:
        """DELETE /session: delete the cookie; the token stays valid."""
        request.query()
        return Response(204, [cookie(request, "", "; Max-Age=0")])

    return [Resource("/session", {"GET": who, "POST": sign_in, "DELETE": sign_out})]


def _shown(principal: Principal) -> dict[str, object]:
    sources = None if principal.sources is None else sorted(principal.sources)
    return {"name": principal.name, "role": principal.role, "sources": sources}
