"""Tokens: of each its hash, never itself."""

from collections.abc import Iterable

from asyncpg import Record

from boss.access import Access, Role, Token
from boss.database import Pool, fetch, transaction
from boss.errors import NameTaken, NeedsAdmin, NoToken
from boss.store.acts import write_act

VALID = """
-- valid_tokens
SELECT hash, name, role, sources, extract(epoch FROM expires_at - now())::float8 AS seconds, revoked_at IS NULL AS valid
FROM token
"""


async def valid_tokens(pool: Pool) -> tuple[dict[bytes, tuple[Access, float | None]], bool]:
    """What each token that counts now gives access to, by hash, with the seconds it is still good for.

    And whether there ever was one: from then on everybody needs one.
    """
    rows = await fetch(pool, VALID)
    valid = [row for row in rows if row["valid"] and (row["seconds"] is None or row["seconds"] > 0)]
    return {row["hash"]: (_access(row), row["seconds"]) for row in valid}, bool(rows)


def _access(row: Record) -> Access:
    return Access(row["name"], Role(row["role"]), None if row["sources"] is None else frozenset(row["sources"]))


# A change waits for the one before it, so that no two of them can each leave the other's admin as the last one.
ALONE = """
-- lock_tokens
LOCK TABLE token IN SHARE ROW EXCLUSIVE MODE
"""
USABLE_ADMINS = """
-- usable_admins
SELECT name FROM token
WHERE role = 'admin' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
CREATE = """
-- create_token
INSERT INTO token (name, hash, role, sources, expires_at, created_by)
VALUES ($1, $2, $3, $4, now() + make_interval(secs => $5), $6)
ON CONFLICT (name) DO NOTHING
RETURNING name, role, sources, created_at, created_by, expires_at, revoked_at, used_at
"""


async def create_token(pool: Pool, access: Access, key: bytes, expires: float | None, by: str | None) -> Token:
    """Store a token.

    Args:
        pool: the database.
        access: its name, role and sources.
        key: its hash, all that is kept of it.
        expires: for how many seconds it is good; None for ever.
        by: who makes it.

    Raises:
        NameTaken: there is or was one of that name.
        NeedsAdmin: it is the first one, and no admin's.
    """
    sources = None if access.sources is None else sorted(access.sources)
    async with transaction(pool) as connection:
        await fetch(connection, ALONE)
        if access.role is not Role.ADMIN and not await fetch(connection, USABLE_ADMINS):
            raise NeedsAdmin(
                "the first token must be an admin's, for from then on nobody can do anything without one: "
                "boss token create NAME --role admin"
            )
        rows = await fetch(connection, CREATE, access.name, key, access.role, sources, expires, by)
        if not rows:
            raise NameTaken(f"there is or was a token called {access.name}; names are not used twice")
        what = {"token": access.name, "role": access.role, "sources": sources, "expires": expires}
        await write_act(connection, by, "created a token", what)
    return _token(rows[0])


LIST = """
-- list_tokens
SELECT name, role, sources, created_at, created_by, expires_at, revoked_at, used_at FROM token ORDER BY name
"""


async def list_tokens(pool: Pool) -> list[Token]:
    """Every token there is or was, by name."""
    return [_token(row) for row in await fetch(pool, LIST)]


def _token(row: Record) -> Token:
    return Token(row[0], Role(row[1]), *tuple(row)[2:])


REVOKE = """
-- revoke_token
UPDATE token SET revoked_at = coalesce(revoked_at, now()) WHERE name = $1 RETURNING name
"""


async def revoke_token(pool: Pool, name: str, by: str | None) -> None:
    """Let a token count no more. One that was revoked before stays so.

    Raises:
        NoToken: there is none of that name.
        NeedsAdmin: it is the last one of an admin.
    """
    async with transaction(pool) as connection:
        await fetch(connection, ALONE)
        if [row["name"] for row in await fetch(connection, USABLE_ADMINS)] == [name]:
            raise NeedsAdmin(f"{name} is the last token of an admin; create another one first")
        if not await fetch(connection, REVOKE, name):
            raise NoToken(f"there is no token called {name}")
        await write_act(connection, by, "revoked a token", {"token": name})


USED = """
-- used_tokens
UPDATE token SET used_at = now() WHERE name = ANY($1::text[])
"""


async def used_tokens(pool: Pool, names: Iterable[str]) -> None:
    """Write down that these tokens have just been used."""
    await fetch(pool, USED, sorted(names))
