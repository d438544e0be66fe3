"""The tokens that count, as one replica knows them: looked up by every request, asked for twice a second."""

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

# How often the tokens are asked for, in seconds, and so how long a revoked one may still count.
_INTERVAL = 0.5
# How often it is written down which ones were used, in seconds.
_USED_INTERVAL = 5.0
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,100}")
LONGEST_EXPIRY = 100 * 366 * 24 * 3600


class Tokens:
    """What a token gives principal to.

    Args:
        pool: the database.
        ended: gets the names of tokens that have just ceased to count; None for none at all, once one is needed.

    Attributes:
        needed: whether there ever was a token: from then on everybody needs one.
    """

    def __init__(self, pool: Pool, ended: Callable[[set[str | None]], None]) -> None:
        self._pool = pool
        self._ended = ended
        # By name, until when each counts; None for ever.
        self._until: dict[str | None, float | None] = {}
        self._valid: dict[bytes, tuple[Principal, float | None]] = {}
        self._used: set[str] = set()
        self.needed = False

    async def load(self) -> None:
        """Ask for the tokens that count now.

        Raises:
            DatabaseAway: PostgreSQL does not answer; those that were known still count, until they expire.
        """
        asked = time.monotonic()
        valid, needed = await store.valid_tokens(self._pool)
        # The database says for how long, so that its clock and ours need not agree.
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
            self._ended(ended)

    async def load_forever(self) -> NoReturn:
        """Ask for them twice a second, and now and then write down which were used, until cancelled."""
        written = time.monotonic()
        while True:
            await asyncio.sleep(_INTERVAL)
            try:
                await self.load()
                if self._used and time.monotonic() - written > _USED_INTERVAL:
                    written = time.monotonic()
                    used, self._used = self._used, set()
                    await store.used_tokens(self._pool, used)
            except DatabaseAway:
                pass  # nothing else can be done without it either
            except Exception:
                log.exception("asking for the tokens failed; it is tried again")

    def principal(self, secret: str) -> Principal | None:
        """What this token gives principal to; None when it does not count."""
        principal, until = self._valid.get(hashed(secret), (None, None))
        if principal is None or (until is not None and until <= time.monotonic()):
            return None
        if principal.name:
            self._used.add(principal.name)
        return principal

    def count(self, principal: Principal) -> bool:
        """Whether this principal's token is still valid. Who came without one is valid while no token is needed."""
        if principal.name is None:
            return principal.role is None or not self.needed
        until = self._until.get(principal.name, 0.0)
        return until is None or until > time.monotonic()

    async def create(
        self, name: str, role: Role, sources: Iterable[str] | None, expires: float | None, by: str | None
    ) -> tuple[str, Token]:
        """Make a token; return it, which nobody can do a second time, and what is known of it.

        Args:
            name: what it is called wherever it says who did something.
            role: what it is for.
            sources: the sources it is good for; None for all. An admin's is for all.
            expires: for how many seconds it is good; None for ever.
            by: who makes it.

        Raises:
            BadInput: that is no name, or no such token can be.
            NameTaken: there is or was one of that name.
            NeedsAdmin: it is the first one, and no admin's, or it would expire.
        """
        if not _NAME.fullmatch(name):
            raise BadInput(f"{name[:120]!a} cannot be a token's name: it takes 1 to 100 of A-Z a-z 0-9 . _ @ -")
        if role is Role.ADMIN and sources is not None:
            raise BadInput("an admin's token is for all sources; leave the sources out")
        if expires is not None and not 0 < expires <= LONGEST_EXPIRY:
            raise BadInput(f"expires is {expires}; it takes seconds from 1 to {LONGEST_EXPIRY}, or none for ever")
        good_for = None if sources is None else frozenset(map(check_new_source, sources))
        if good_for is not None and not good_for:
            raise BadInput("a token for no source is good for nothing; leave the sources out for all of them")
        secret = new_secret()
        token = await store.create_token(self._pool, Principal(name, role, good_for), hashed(secret), expires, by)
        await self.load()
        return secret, token

    async def list_tokens(self) -> list[Token]:
        """Every token there is or was, by name."""
        return await store.list_tokens(self._pool)

    async def revoke(self, name: str, by: str | None) -> None:
        """Let a token count no more: here at once, on other replicas within a second.

        Raises:
            NoToken: there is none of that name.
            NeedsAdmin: it is the last one of an admin, or the last of those that are good for ever.
        """
        await store.revoke_token(self._pool, name, by)
        await self.load()
