"""`/session`: how the page signs in, with a token that it then has in a cookie.

The cookie is out of reach for scripts (HttpOnly) and stays away from requests that other sites have a browser send
(SameSite=Strict); what comes from other sites is refused besides (guard.py), so there is no other token against that.
"""

from collections.abc import Sequence

import msgspec
import orjson
from starlette.routing import BaseRoute

from boss.access import Access, Right
from boss.errors import NotSignedIn
from boss.http import body
from boss.http.browser import COOKIE
from boss.http.exchange import JSON, NO_STORE, Ask, route
from boss.http.guard import needs
from boss.http.problems import Answer, Header
from boss.settings import Settings
from boss.tokens import Tokens


class _SignIn(msgspec.Struct, forbid_unknown_fields=True):
    token: str


def routes(tokens: Tokens, settings: Settings) -> Sequence[BaseRoute]:
    """The route."""

    def cookie(ask: Ask, value: str, more: str = "") -> Header:
        # Behind a proxy with TLS it is the page's own address that says so.
        by_tls = settings.tls_cert or (ask.header(b"origin") or "").startswith("https://")
        secure = "; Secure" if by_tls else ""
        text = f"{COOKIE.decode()}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}"
        return b"set-cookie", text.encode()

    @needs(Right.PUBLIC)
    async def who(ask: Ask) -> Answer:
        """GET /session: who asks, by their token; 401 when they need one."""
        ask.query()
        if ask.access.role is None:
            raise NotSignedIn("sign in with a token")
        return Answer(200, [JSON, NO_STORE], orjson.dumps(_shown(ask.access)))

    @needs(Right.PUBLIC)
    async def sign_in(ask: Ask) -> Answer:
        """POST /session: a cookie with this token, `{"token": "boss_…"}`, if it counts."""
        ask.query()
        asked = await body.read(ask, _SignIn, '{"token": "boss_…"}')
        access = tokens.access(asked.token)
        if access is None:
            raise NotSignedIn("this token is unknown, expired or revoked")
        return Answer(200, [JSON, NO_STORE, cookie(ask, asked.token)], orjson.dumps(_shown(access)))

    @needs(Right.PUBLIC)
    async def sign_out(ask: Ask) -> Answer:
        """DELETE /session: the cookie is gone; the token counts as before."""
        ask.query()
        return Answer(204, [cookie(ask, "", "; Max-Age=0")])

    return [route("/session", {"GET": who, "POST": sign_in, "DELETE": sign_out})]


def _shown(access: Access) -> dict[str, object]:
    sources = None if access.sources is None else sorted(access.sources)
    return {"name": access.name, "role": access.role, "sources": sources}
