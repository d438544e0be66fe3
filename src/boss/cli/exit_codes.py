"""All exit codes and their meanings.

75 and 77 come from sysexits.h. Mail servers, systemd and job runners know them by these meanings, 75 as "try again".
"""

from boss.errors import (
    BadInput,
    BossError,
    Forbidden,
    NoDatabase,
    NoJob,
    NoSchedule,
    NotABoss,
    NotAUrl,
    NoToken,
    NotThere,
    RuleChanged,
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
    OK: "success",
    FAILED: "another error; the line on standard error says which",
    USAGE: "the command line is wrong, or a file that it names",
    NOT_THERE: "no such job, source, schedule or token, or none in that state or attempt, or no job to take",
    TRY_AGAIN: "Boss, or its database, is away, busy or limits you: the same command may succeed later",
    REFUSED: "the token is missing, is not valid any more, or does not permit this",
    INTERRUPTED: "ended at once by Ctrl-C; another signal gives 128 plus its number, such as 143 for SIGTERM",
    UNREAD: "the reader of the output has closed it, as head does; no message is printed",
}

# The first class that fits gives the exit code.
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
    (NoSchedule, NOT_THERE),
    (Unreachable, TRY_AGAIN),
    (Unavailable, TRY_AGAIN),
    (TooMany, TRY_AGAIN),
    (RuleChanged, TRY_AGAIN),
    (Unauthenticated, REFUSED),
    (Forbidden, REFUSED),
)


def code_of(error: BossError | StartError) -> int:
    """The exit code of a command that this error ends."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
