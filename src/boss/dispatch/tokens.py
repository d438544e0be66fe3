"""The valid tokens as one replica knows them. They are loaded twice a second, and every request looks one up."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterable
from typing import NoReturn

from boss.errors import BadInput, DatabaseAway
from boss.model.job import check_new_source
from boss.model.permissions import Principal, Role, Token, hashed, new_secret
from boss.postgres import store
from boss.postgres.connection import Pool

log = logging.getLogger("boss")

# How often the tokens are loaded, and so the longest time for which a revoked one may still be valid here.
_INTERVAL_S = 0.5
# How often the use of tokens is recorded.
_USED_INTERVAL_S = 5.0
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,100}")
LONGEST_EXPIRY = 100 * 366 * 24 * 3600


class Tokens:
    """Finds the principal of a token, and creates and revokes tokens.

    Args:
        pool: the connection pool.
        on_ended: called with the names of tokens that have just expired or been revoked. The name None stands for
            requests without a token, once a token is needed.

    Attributes:
        needed: whether there ever was a token: from then on every request needs one.
    """

    def __init__(self, pool: Pool, on_ended: Callable[[set[str | None]], None]) -> None:
        self._pool = pool
        self._on_ended = on_ended
        # Until when each token is valid, by its name; None for ever.
        self._until: dict[str | None, float | None] = {}
        self._valid: dict[bytes, tuple[Principal, float | None]] = {}
        self._used: set[str] = set()
        self.needed = False

    async def load(self) -> None:
        """Load the valid tokens.

        Raises:
            DatabaseAway: PostgreSQL does not answer; the known tokens stay valid until they expire.
        """
        asked = time.monotonic()
        valid, needed = await store.valid_tokens(self._pool)
        # The database says for how many seconds each is valid, so that its clock and ours need not agree.
        self._valid = {
            key: (principal, None if seconds is None else asked + seconds)
            for key, (principal, seconds) in valid.items()
        }
        until = {principal.name: until for principal, until in self._valid.values()}
        ended = self._until.keys() - until.keys()
        if needed and not self.needed:
            ended.add(None)
        self._until, self.needed = until, needed
        if ended:
            self._on_ended(ended)

    async def load_forever(self) -> NoReturn:
        """Load the tokens twice a second, and now and then record which were used, until cancelled."""
        written = time.monotonic()
        while True:
            await asyncio.sleep(_INTERVAL_S)
            try:
                await self.load()
                if self._used and time.monotonic() - written > _USED_INTERVAL_S:
                    written = time.monotonic()
                    used, self._used = self._used, set()
                    await store.used_tokens(self._pool, used)
            except DatabaseAway:
                pass  # no request can be served either
            except Exception:
                log.exception("loading the tokens failed; trying again")

    def principal(self, secret: str) -> Principal | None:
        """The principal of this token; None when the token is not valid."""
        principal, until = self._valid.get(hashed(secret), (None, None))
        if principal is None or (until is not None and until <= time.monotonic()):
            return None
        if principal.name:
            self._used.add(principal.name)
        return principal

    def is_valid(self, principal: Principal) -> bool:
        """Whether this principal's token is still valid. Without a token it is valid while none is needed."""
        if principal.name is None:
            return principal.role is None or not self.needed
        until = self._until.get(principal.name, 0.0)
        return until is None or until > time.monotonic()

    async def create(
        self, name: str, role: Role, sources: Iterable[str] | None, expires: float | None, by: str | None
    ) -> tuple[str, Token]:
        """Create a token. Return the token itself, which is never shown again, and its properties.

        Args:
            name: its name, which stands for its owner wherever Boss shows who did something.
            role: its role.
            sources: the sources it is limited to; None for all. An admin's token cannot be limited.
            expires: how many seconds it is valid; None for ever.
            by: the name of the principal's token, for the audit event.

        Raises:
            BadInput: the name is not valid, or there cannot be such a token.
            NameTaken: there is or was a token of that name.
            NeedsAdmin: it is the first one, and is not an admin's or would expire.
        """
        if not _NAME.fullmatch(name):
            raise BadInput(f"{name[:120]!a} cannot be a token's name: it takes 1 to 100 of A-Z a-z 0-9 . _ @ -")
        if role is Role.ADMIN and sources is not None:
            raise BadInput("an admin's token is for all sources; leave the sources out")
        if expires is not None and not 0 < expires <= LONGEST_EXPIRY:
            raise BadInput(f"expires is {expires}; it takes seconds from 1 to {LONGEST_EXPIRY}, or none for ever")
        limited_to = None if sources is None else frozenset(map(check_new_source, sources))
        if limited_to is not None and not limited_to:
            raise BadInput("a token needs at least one source; leave the sources out for all of them")
        secret = new_secret()
        token = await store.create_token(self._pool, Principal(name, role, limited_to), hashed(secret), expires, by)
        await self.load()
        return secret, token

    async def revoke(self, name: str, by: str | None) -> None:
        """Revoke a token. It becomes invalid here at once, and on other replicas within a second.

        Raises:
            NoToken: there is no token of that name.
            NeedsAdmin: it is the last token of an admin, or the last of these that never expires.
        """
        await store.revoke_token(self._pool, name, by)
        await self.load()
