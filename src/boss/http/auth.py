"""Authentication and authorization, before anything else is done with a request.

A request's principal is found once (`Authenticator.authenticate`). Each handler names the permission that it requires,
and `authorize` checks it. Both happen before the database is asked, so a refusal is the same whether what the request
names exists or not.
"""

import re
import time
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

from boss.dispatch.tokens import Tokens
from boss.errors import Forbidden, TooMany, Unauthenticated
from boss.http import browser
from boss.http.request import Request
from boss.model.permissions import NOBODY, OPEN, Permission, Principal
from boss.settings import Settings

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]+) *", re.IGNORECASE)
# So many seconds' worth of requests may come at once.
_BURST = 1.0

_Handler = TypeVar("_Handler", bound=Callable[..., object])


def requires(permission: Permission) -> Callable[[_Handler], _Handler]:
    """Mark a handler with the permission that its requests require."""

    def mark(handler: _Handler) -> _Handler:
        handler.permission = permission  # type: ignore[attr-defined]
        return handler

    return mark


def permission_of(handler: Callable[..., object]) -> Permission:
    """The permission that `requires` marked a handler with. A handler without one is an error when Boss starts."""
    permission: Permission = handler.permission  # type: ignore[attr-defined]
    return permission


class Authenticator:
    """Finds the principal of a request.

    Args:
        tokens: the valid tokens.
        settings: whether other machines are served without one, and how many requests a second a token has.
    """

    def __init__(self, tokens: Tokens, settings: Settings) -> None:
        self._tokens = tokens
        self._open = settings.open
        self._rate = settings.rate
        # When each token's requests would have ended, had they come evenly, by its name.
        self._busy_until: dict[str, float] = {}

    def authenticate(self, request: Request) -> None:
        """Find out what the sender of this request may do, and keep it with the request.

        Raises:
            Forbidden: a browser sends it, and not for the page (browser.py); or another machine, while there are no
                tokens.
            TooMany: the token's requests come too fast.
        """
        # Other programs than browsers send none of these.
        if not browser.HEADERS.isdisjoint(request.headers):
            browser.check_site(request)
        if self._tokens.needed:
            # Here, so that whoever is refused for too many requests can be named.
            principal = request.principal = self._access(request) or NOBODY
            if self._rate and principal.name:
                self._check_rate(principal.name)
            return
        request.principal = OPEN
        if not self._open and not (_is_loopback(request.peer) and _names_loopback(request.headers.get(b"host"))):
            _refuse_far(request)

    def _access(self, request: Request) -> Principal | None:
        headers = request.headers
        if (authorization := headers.get(b"authorization")) is not None:
            found = _BEARER.fullmatch(authorization.decode("latin-1"))
            return self._tokens.principal(found[1]) if found else None
        if b"cookie" not in headers or not browser.is_by_page(request):
            return None
        counting = {self._tokens.principal(secret) for secret in browser.tokens_of_page(headers[b"cookie"])} - {None}
        # Of two that count somebody has planted one, and nobody can tell which.
        return counting.pop() if len(counting) == 1 else None

    def _check_rate(self, name: str) -> None:
        """A leaky bucket as a meter: the generic cell rate algorithm (ITU-T I.371), for one replica."""
        now = time.monotonic()
        until = max(self._busy_until.get(name, now), now)
        if until - now > _BURST:
            raise TooMany(f"more than {self._rate:,} requests a second come with the token {name}; send fewer", 1)
        self._busy_until[name] = until + 1 / self._rate


def authorize(request: Request, permission: Permission) -> None:
    """Let this request pass when its sender has the permission, in every source that its path names.

    Raises:
        Unauthenticated: they have no token that counts.
        Forbidden: theirs does not give that right.
    """
    principal = request.principal
    if principal is OPEN or permission is Permission.PUBLIC:
        return
    if principal.role is None:
        raise Unauthenticated(
            "this needs a token that counts, as Authorization: Bearer …; "
            "there is none with the request, or it is unknown, expired or revoked"
        )
    if not principal.may(permission):
        raise Forbidden(f"the token {principal.name} is one of a {principal.role}, which may not do that")
    if "source" in request.params:
        for each in request.path_param("source").split(","):
            check_source_reached(principal, each)


def check_source_reached(principal: Principal, source: str) -> None:
    """Raise Forbidden when somebody's rights are not good for this source."""
    if not principal.reaches(source):
        raise Forbidden(f"the token {principal.name} is not for the source {source[:120]!a}")


def _refuse_far(request: Request) -> NoReturn:
    """While there are no tokens, only who is on this machine is served, and under a name that can be no other's.

    A page elsewhere can have its own name mean this machine (DNS rebinding); to a browser it is Boss's own page then.
    """
    request.principal = NOBODY
    if not _is_loopback(request.peer):
        raise Forbidden(
            "this Boss has no tokens yet, so it serves its own machine only; there, "
            "boss token create NAME --role admin makes the first one (boss serve --open would serve everybody)"
        )
    name = _name(request.headers[b"host"])
    raise Forbidden(
        f"this Boss has no tokens yet, so it answers only to localhost, not to {name[:120]!a}; "
        "boss token create NAME --role admin makes the first one (boss serve --open would answer to any name)"
    )


def _name(host: bytes) -> str:
    """The name in a Host header, without its port."""
    try:
        return urlsplit(f"//{host.decode('latin-1')}").hostname or ""
    except ValueError:
        return ""


@lru_cache
def _names_loopback(host: bytes | None) -> bool:
    # Without one, as in HTTP/1.0, no page elsewhere has sent it.
    return not host or _is_loopback(_name(host))


@lru_cache
def _is_loopback(name: str) -> bool:
    name = name.removesuffix(".")
    # RFC 6761, 6.3: whatever ends in .localhost is this machine.
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
