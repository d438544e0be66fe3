"""Who may do what. Pure."""

from datetime import datetime
from enum import Enum, StrEnum, auto
from hashlib import sha256
from typing import NamedTuple


class Role(StrEnum):
    """What a token is for."""

    CONVERTER = "converter"
    SUBMITTER = "submitter"
    ADMIN = "admin"


class Permission(Enum):
    """What a request needs."""

    # What anybody may have: the page itself, the documentation, whether Boss lives.
    PUBLIC = auto()
    # Taker, checking, finishing and giving back.
    CONVERT = auto()
    SUBMIT = auto()
    # Seeing jobs that are not one's own to convert.
    READ = auto()
    # Seeing whether a job is active, or whether there is one: both sides need it.
    PEEK = auto()
    # What is about all sources: metrics and health.
    MONITOR = auto()
    # All the rest: stopping, pruning, tokens, the rules of sources, the record of acts.
    ADMINISTER = auto()


_RIGHTS = {
    Role.CONVERTER: {Permission.PUBLIC, Permission.CONVERT, Permission.PEEK},
    Role.SUBMITTER: {Permission.PUBLIC, Permission.SUBMIT, Permission.READ, Permission.PEEK, Permission.MONITOR},
    Role.ADMIN: set(Permission),
}


class Principal(NamedTuple):
    """What somebody may do.

    Attributes:
        name: the name of their token; None when they need none.
        role: what it is for; None for somebody without a token, who may have only what is public.
        sources: the sources it is good for; None for all.
    """

    name: str | None
    role: Role | None
    sources: frozenset[str] | None = None

    def may(self, permission: Permission) -> bool:
        """Whether they have this permission in some source."""
        if permission is Permission.MONITOR and self.sources is not None:
            return False
        return permission is Permission.PUBLIC if self.role is None else permission in _RIGHTS[self.role]

    def reaches(self, source: str) -> bool:
        """Whether their rights are good for this source."""
        return self.sources is None or source in self.sources


# Everybody's, while there are no tokens.
OPEN = Principal(None, Role.ADMIN)
# Somebody's who shows no token where one is needed.
NOBODY = Principal(None, None)


class Token(NamedTuple):
    """What is known of a token, which is all but the token itself. Times are the database's."""

    name: str
    role: Role
    sources: list[str] | None
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None


def new_secret() -> str:
    """A token that nobody can guess; the prefix is for people, and for programs that look for leaked ones."""
    # Here, for the command line needs the roles only, and this is slow to import.
    import secrets

    return f"boss_{secrets.token_urlsafe(32)}"


def hashed(secret: str) -> bytes:
    """What is stored of a token."""
    return sha256(secret.encode()).digest()
