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


class Right(Enum):
    """What a request needs."""

    # What anybody may have: the page itself, the documentation, whether Boss lives.
    PUBLIC = auto()
    # Taking, checking, finishing and giving back.
    CONVERT = auto()
    SUBMIT = auto()
    # Seeing jobs that are not one's own to convert.
    READ = auto()
    # Seeing whether a job is active, or whether there is one: both sides need it.
    LOOK = auto()
    # What is about all sources: metrics and health.
    OVERSEE = auto()
    # All the rest: stopping, pruning, tokens, the rules of sources, the record of acts.
    ADMINISTER = auto()


_RIGHTS = {
    Role.CONVERTER: {Right.PUBLIC, Right.CONVERT, Right.LOOK},
    Role.SUBMITTER: {Right.PUBLIC, Right.SUBMIT, Right.READ, Right.LOOK, Right.OVERSEE},
    Role.ADMIN: set(Right),
}


class Access(NamedTuple):
    """What somebody may do.

    Attributes:
        name: the name of their token; None when they need none.
        role: what it is for; None for somebody without a token, who may have only what is public.
        sources: the sources it is good for; None for all.
    """

    name: str | None
    role: Role | None
    sources: frozenset[str] | None = None

    def may(self, right: Right) -> bool:
        """Whether they have this right in some source."""
        if right is Right.OVERSEE and self.sources is not None:
            return False
        return right is Right.PUBLIC if self.role is None else right in _RIGHTS[self.role]

    def reaches(self, source: str) -> bool:
        """Whether their rights are good for this source."""
        return self.sources is None or source in self.sources


# Everybody's, while there are no tokens.
OPEN = Access(None, Role.ADMIN)
# Somebody's who shows no token where one is needed.
NOBODY = Access(None, None)


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
