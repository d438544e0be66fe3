"""Tokens: of each its hash, never itself."""

import json
from collections.abc import Iterable

from asyncpg import Record

from boss.errors import NameTaken, NeedsAdmin, NoToken
from boss.model.permissions import Principal, Role, Token
from boss.postgres.connection import Pool, fetch
from boss.postgres.statement import Statement

VALID = Statement(
    "valid_tokens",
    """
SELECT hash, name, role, sources, extract(epoch FROM expires_at - now())::float8 AS seconds, revoked_at IS NULL AS valid
FROM token
""",
)


async def valid_tokens(pool: Pool) -> tuple[dict[bytes, tuple[Principal, float | None]], bool]:
    """What each token that counts now gives access to, by hash, with the seconds it is still good for.

    And whether there ever was one: from then on everybody needs one.
    """
    rows = await fetch(pool, VALID)
    valid = [row for row in rows if row["valid"] and (row["seconds"] is None or row["seconds"] > 0)]
    return {row["hash"]: (_access(row), row["seconds"]) for row in valid}, bool(rows)


def _access(row: Record) -> Principal:
    return Principal(row["name"], Role(row["role"]), None if row["sources"] is None else frozenset(row["sources"]))


# One that is good for ever stays as long as there is any other token: when one after the other expired, nobody could
# make a new one.
_ADMINS = """
    SELECT name, expires_at IS NULL AS lasts FROM token
    WHERE role = 'admin' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
CREATE = Statement(
    "create_token",
    f"""
WITH allowed AS MATERIALIZED (
    SELECT EXISTS ({_ADMINS}) OR ($3 = 'admin' AND $5::float8 IS NULL) AS it
), new AS (
    INSERT INTO token (name, hash, role, sources, expires_at, created_by)
    SELECT $1, $2, $3, $4, now() + make_interval(secs => $5), $6 FROM allowed WHERE it
    ON CONFLICT (name) DO NOTHING
    RETURNING name, role, sources, created_at, created_by, expires_at, revoked_at, used_at
), written AS (
    INSERT INTO act (by, did, what) SELECT $6, 'created a token', $7::jsonb FROM new
)
SELECT it AS allowed, new.* FROM allowed LEFT JOIN new ON true
""",
)


async def create_token(pool: Pool, access: Principal, key: bytes, expires: float | None, by: str | None) -> Token:
    """Store a token.

    Args:
        pool: the database.
        access: its name, role and sources.
        key: its hash, all that is kept of it.
        expires: for how many seconds it is good; None for ever.
        by: who makes it.

    Raises:
        NameTaken: there is or was one of that name.
        NeedsAdmin: it is the first one, and no admin's, or it would expire.
    """
    sources = None if access.sources is None else sorted(access.sources)
    what = {"token": access.name, "role": access.role, "sources": sources, "expires": expires}
    values = access.name, key, access.role, sources, expires, by, json.dumps(what)
    [row] = await fetch(pool, CREATE, *values)
    if not row["allowed"]:
        raise NeedsAdmin(
            "the first token must be an admin's, and good for ever, for from then on nobody can do anything without "
            "one: boss token create NAME --role admin"
        )
    if row["name"] is None:
        raise NameTaken(f"there is or was a token called {access.name}; names are not used twice")
    return _token(row)


LIST = Statement(
    "list_tokens",
    """
SELECT name, role, sources, created_at, created_by, expires_at, revoked_at, used_at FROM token ORDER BY name
""",
)


async def list_tokens(pool: Pool) -> list[Token]:
    """Every token there is or was, by name."""
    return [_token(row) for row in await fetch(pool, LIST)]


def _token(row: Record) -> Token:
    return Token(role=Role(row["role"]), **{name: row[name] for name in Token._fields if name != "role"})


# The rows of the admins are locked, so that no two of these can each leave the other's admin as the last one: the
# second sees, once it has the lock, what the first has done. One statement, so that a frozen replica holds no lock.
REVOKE = Statement(
    "revoke_token",
    f"""
WITH admins AS MATERIALIZED ({_ADMINS}
    ORDER BY name
    FOR UPDATE
), needed AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM admins WHERE name = $1)
       AND NOT EXISTS (
           SELECT FROM admins WHERE name <> $1 AND (lasts OR NOT (SELECT lasts FROM admins WHERE name = $1))
       ) AS it
), revoked AS (
    UPDATE token SET revoked_at = coalesce(revoked_at, now()) WHERE name = $1 AND NOT (SELECT it FROM needed)
    RETURNING name
), written AS (
    INSERT INTO act (by, did, what) SELECT $2, 'revoked a token', jsonb_build_object('token', name) FROM revoked
)
SELECT it AS needed, EXISTS (SELECT FROM token WHERE name = $1) AS is_there FROM needed
""",
)


async def revoke_token(pool: Pool, name: str, by: str | None) -> None:
    """Let a token count no more. One that was revoked before stays so.

    Raises:
        NoToken: there is none of that name.
        NeedsAdmin: it is the last one of an admin, or the last of those that are good for ever.
    """
    [row] = await fetch(pool, REVOKE, name, by)
    if row["needed"]:
        raise NeedsAdmin(
            f"{name} is the last token of an admin that is good for ever; create another one first: "
            "boss token create NAME --role admin"
        )
    if not row["is_there"]:
        raise NoToken(f"there is no token called {name}")


USED = Statement(
    "used_tokens",
    """
UPDATE token SET used_at = now() WHERE name = ANY($1::text[])
""",
)


async def used_tokens(pool: Pool, names: Iterable[str]) -> None:
    """Write down that these tokens have just been used."""
    await fetch(pool, USED, sorted(names))
