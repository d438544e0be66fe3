"""Roles, permissions, principals and tokens: who may do what. Pure."""

from datetime import datetime
from enum import Enum, StrEnum, auto
from hashlib import sha256
from typing import NamedTuple


class Role(StrEnum):
    """The role of a token; it decides the permissions."""

    CONVERTER = "converter"
    SUBMITTER = "submitter"
    ADMIN = "admin"


class Permission(Enum):
    """The permission that a request needs."""

    # The dashboard's files, the documentation, the liveness check: no token needed.
    PUBLIC = auto()
    # Take, send heartbeats, finish and give back.
    CONVERT = auto()
    SUBMIT = auto()
    # See any job, not only those one converts.
    READ = auto()
    # See whether a job is active, or whether one is available: converters and submitters both need it.
    PEEK = auto()
    # See what concerns all sources: metrics and the diagnosis.
    MONITOR = auto()
    # Everything else: stop, prune, tokens, source limits, audit events.
    ADMINISTER = auto()


_PERMISSIONS = {
    Role.CONVERTER: {Permission.PUBLIC, Permission.CONVERT, Permission.PEEK},
    Role.SUBMITTER: {Permission.PUBLIC, Permission.SUBMIT, Permission.READ, Permission.PEEK, Permission.MONITOR},
    Role.ADMIN: set(Permission),
}


class Principal(NamedTuple):
    """The sender of a request, with what it may do.

    Attributes:
        name: the name of its token; None without a token.
        role: the role of its token; None when a token is needed and it has none, so that only PUBLIC is permitted.
        sources: the sources that its permissions apply to; None for all.
    """

    name: str | None
    role: Role | None
    sources: frozenset[str] | None = None

    def may(self, permission: Permission) -> bool:
        """Whether it has this permission in at least one source."""
        if permission is Permission.MONITOR and self.sources is not None:
            return False
        return permission is Permission.PUBLIC if self.role is None else permission in _PERMISSIONS[self.role]

    def reaches(self, source: str) -> bool:
        """Whether its permissions apply to this source."""
        return self.sources is None or source in self.sources


# Every sender, while there are no tokens.
OPEN = Principal(None, Role.ADMIN)
# A sender without a token where one is needed.
NOBODY = Principal(None, None)


class Token(NamedTuple):
    """The properties of a token, without the token itself. Times are by the database's clock."""

    name: str
    role: Role
    sources: list[str] | None
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None


def new_secret() -> str:
    """A token that nobody can guess. Its prefix is for people, and for programs that search for leaked tokens."""
    # Imported here because it is slow to import, and the command line needs only the roles.
    import secrets

    return f"boss_{secrets.token_urlsafe(32)}"


def hashed(secret: str) -> bytes:
    """The hash of a token: the only form in which it is stored."""
    return sha256(secret.encode()).digest()
