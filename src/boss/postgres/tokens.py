"""Tokens. The database has the hash of each token, never the token itself."""

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
    """The principal of each valid token, by its hash, with the seconds for which it stays valid; None for ever.

    And whether there ever was a token: from then on every request needs one.
    """
    rows = await fetch(pool, VALID)
    valid = [row for row in rows if row["valid"] and (row["seconds"] is None or row["seconds"] > 0)]
    return {row["hash"]: (_principal(row), row["seconds"]) for row in valid}, bool(rows)


def _principal(row: Record) -> Principal:
    return Principal(
        name=row["name"],
        role=Role(row["role"]),
        sources=None if row["sources"] is None else frozenset(row["sources"]),
    )


# As long as there is any token, one token of an admin that never expires must stay. Otherwise the admins' tokens could
# expire one after the other, and nobody could create a new one.
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


async def create_token(pool: Pool, owner: Principal, key: bytes, expires: float | None, by: str | None) -> Token:
    """Store a token, and record an audit event.

    Args:
        pool: the connection pool.
        owner: the token's name, role and sources.
        key: its hash, the only form in which it is stored.
        expires: how many seconds it is valid; None for ever.
        by: the name of the token of the principal that creates it.

    Raises:
        NameTaken: there is or was a token of that name.
        NeedsAdmin: it is the first one, and is not an admin's or would expire.
    """
    sources = None if owner.sources is None else sorted(owner.sources)
    details = {"token": owner.name, "role": owner.role, "sources": sources, "expires": expires}
    values = owner.name, key, owner.role, sources, expires, by, json.dumps(details)
    [row] = await fetch(pool, CREATE, *values)
    if not row["allowed"]:
        raise NeedsAdmin(
            "the first token must be an admin's and never expire, because from then on every request needs a token: "
            "boss token create NAME --role admin"
        )
    if row["name"] is None:
        raise NameTaken(f"there is or was a token called {owner.name}; names are not used twice")
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


# This locks the rows of all admins. Otherwise two of these statements could each revoke the admin that the other one
# counts on: with the lock, the second sees what the first has done. It is one statement, so that a replica that freezes
# does not keep the lock.
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
    """Revoke a token, and record an audit event. A token that was revoked before stays so.

    Raises:
        NoToken: there is no token of that name.
        NeedsAdmin: it is the last token of an admin, or the last of these that never expires.
    """
    [row] = await fetch(pool, REVOKE, name, by)
    if row["needed"]:
        raise NeedsAdmin(
            f"the token {name} is the last token of an admin that never expires; create another one first: "
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
    """Record that these tokens were just used."""
    await fetch(pool, USED, sorted(names))
