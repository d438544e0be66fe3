"""Authentication and authorization, before anything else is done with a request.

A request's principal is found once (`Authenticator.authenticate`). Each handler names the permission that it requires,
and `authorize` checks it. Both happen before the database is asked, so a refusal does not tell whether the job or token
in the request exists.
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
# How large a burst a token may send: this many seconds' worth of its rate.
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
        settings: `open`, whether other machines are served while there are no tokens; `rate`, how many requests a
            second each token may send.
    """

    def __init__(self, tokens: Tokens, settings: Settings) -> None:
        self._tokens = tokens
        self._open = settings.open
        self._rate = settings.rate
        # By token name: when its requests so far would have ended, had they arrived evenly at the rate.
        self._busy_until: dict[str, float] = {}

    def authenticate(self, request: Request) -> None:
        """Find the principal of this request, and set `request.principal`.

        Raises:
            Forbidden: a browser sends the request, but not for Boss's own page (browser.py). Or another machine sends
                it while there are no tokens.
            TooMany: the token exceeds its rate.
        """
        # Only browsers send these headers.
        if not browser.HEADERS.isdisjoint(request.headers):
            browser.check_site(request)
        if self._tokens.needed:
            # The principal is set before the rate is checked, so that the log can name the token it refuses.
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
        if b"cookie" not in headers or not browser.is_by_dashboard(request):
            return None
        counting = {self._tokens.principal(secret) for secret in browser.tokens_of_page(headers[b"cookie"])} - {None}
        # Of two different valid principals, one cookie was planted, and nothing tells which. So neither is used.
        return counting.pop() if len(counting) == 1 else None

    def _check_rate(self, name: str) -> None:
        """Limit a token's rate, counted by this replica alone, by the generic cell rate algorithm (ITU-T I.371).

        It is a leaky bucket as a meter.
        """
        now = time.monotonic()
        until = max(self._busy_until.get(name, now), now)
        if until - now > _BURST:
            raise TooMany(f"the token {name} sends more than {self._rate:,} requests a second; send fewer", 1)
        self._busy_until[name] = until + 1 / self._rate


def authorize(request: Request, permission: Permission) -> None:
    """Check that the request's principal has the permission, for every source that the path names.

    Raises:
        Unauthenticated: the request has no valid token.
        Forbidden: its token does not have the permission, or is not for one of the sources.
    """
    principal = request.principal
    if principal is OPEN or permission is Permission.PUBLIC:
        return
    if principal.role is None:
        raise Unauthenticated(
            "this needs a token: send a valid one as Authorization: Bearer …; "
            "this request has none, or one that is unknown, expired or revoked"
        )
    if not principal.may(permission):
        raise Forbidden(f"the token {principal.name} has the role {principal.role}, which may not do that")
    if "source" in request.params:
        for each in request.path_param("source").split(","):
            check_source_reached(principal, each)


def check_source_reached(principal: Principal, source: str) -> None:
    """Raise Forbidden when the principal's token is not for this source."""
    if not principal.reaches(source):
        raise Forbidden(f"the token {principal.name} is not for the source {source[:120]!a}")


def _refuse_far(request: Request) -> NoReturn:
    """Refuse a request that comes from another machine, or for another host name, while there are no tokens.

    The host name matters because a web page elsewhere can make its own name resolve to this machine (DNS rebinding).
    A browser then takes it for Boss's own page.
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
    # A browser always sends Host. A request without it, which HTTP/1.0 allows, comes from no web page.
    return not host or _is_loopback(_name(host))


@lru_cache
def _is_loopback(name: str) -> bool:
    name = name.removesuffix(".")
    # RFC 6761, 6.3: every name that ends in .localhost is this machine.
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
