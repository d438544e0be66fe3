"""Every exit code, once.

75 and 77 are those of sysexits.h: mail servers, systemd and job runners know them by these meanings, 75 as "try again".
"""

from boss.errors import (
    BadInput,
    BossError,
    Forbidden,
    NoDatabase,
    NoJob,
    NotABoss,
    NotAUrl,
    NoToken,
    NotThere,
    StartError,
    TooMany,
    Unauthenticated,
    Unavailable,
    Unreachable,
    WrongAttempt,
    WrongSetting,
)

OK = 0
FAILED = 1
USAGE = 2
NOT_THERE = 3
TRY_AGAIN = 75
REFUSED = 77
INTERRUPTED = 130
UNREAD = 141

MEANINGS = {
    OK: "it is done",
    FAILED: "it went wrong in another way; the line on standard error says how",
    USAGE: "the command line is wrong, or a file that it names",
    NOT_THERE: "no such job, source or token, or none in that state or attempt, or no job to take",
    TRY_AGAIN: "Boss, or its database, is away, busy or limits you: the same command may succeed later",
    REFUSED: "the token is missing, counts no more, or is not for that",
    INTERRUPTED: "ended at once by Ctrl-C; by another signal it is 128 and its number, as 143 by SIGTERM",
    UNREAD: "whoever reads what it prints has seen enough, as head may; no line says so",
}

# The first that fits counts.
_CODES: tuple[tuple[type[BossError | StartError], int], ...] = (
    (BadInput, USAGE),
    (WrongSetting, USAGE),
    (NoDatabase, TRY_AGAIN),
    (NotAUrl, USAGE),
    (NotABoss, FAILED),
    (NoJob, NOT_THERE),
    (NotThere, NOT_THERE),
    (WrongAttempt, NOT_THERE),
    (NoToken, NOT_THERE),
    (Unreachable, TRY_AGAIN),
    (Unavailable, TRY_AGAIN),
    (TooMany, TRY_AGAIN),
    (Unauthenticated, REFUSED),
    (Forbidden, REFUSED),
)


def code_of(error: BossError | StartError) -> int:
    """The exit code of a command that this error ends."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
