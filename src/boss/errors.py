"""All errors of Boss, as one tree.

BossError
├── BadInput              the request itself is wrong; sending it again will not help
│   └── TooLarge          its document or result is larger than Boss takes
├── BodyTimeout           the request's body did not come in time
├── StateMismatch         the job is not in the state that the request names; `state` is where it is
│   ├── NotThere          there is no such job at that address
│   ├── WrongAttempt      the job is there, but in another attempt than the request names
│   └── IdTaken           a job with that id exists already
├── NoJob                 there is no job to take right now
├── Unauthenticated       a token is needed, and the request has none or one that is not valid
├── Forbidden             the principal lacks the permission
├── NoToken               there is no token of that name
├── SourceInUse           the source has jobs
├── RuleChanged           the rule of the source is not the one that the request names
├── NameTaken             there is or was a token of that name
├── NeedsAdmin            nobody could administer Boss after that
├── TooMany               a limit is reached; the same request may be sent again later
├── Unavailable           not now, but the same request may be sent again
│   ├── DatabaseAway      PostgreSQL does not answer
│   ├── Overloaded        this server has the most requests under way, or takers waiting, that it allows
│   └── Draining          this server is shutting down
├── Unreachable           the client gave up: no Boss answers at its URL
│   ├── NotAUrl           its URL is not a URL
│   └── NotABoss          something else answers there
├── NotDone               the client gave up waiting: the job is not done yet
├── NotCompleted          the job that the client waited for is done, but did not complete
└── Lost                  a converter's job was stopped, or another taker has it by now
StartError                Boss cannot start; the message says what to do
├── WrongSetting          a setting is not valid
└── NoDatabase            PostgreSQL cannot be reached; it may be later

The HTTP layer maps each error to a status (http/problems.py). The client maps the problem back to the error by its name
(client/answers.py).
"""

from typing import ClassVar

# The `type` of a problem (RFC 9457) is this prefix and the error's name.
PROBLEM_TYPE = "urn:boss:problem:"
# The problem of a request without TLS where TLS is needed.
HTTPS_NEEDED = "https-needed"
# The problem of a path at which there is no resource.
NO_RESOURCE = "no-resource"
# The message for a request that needs TLS and came without.
SPEAKS_HTTPS = "speaks https, not http: say https://"
# The message of a 503 whose cause is the database.
DATABASE_AWAY = "the database is away; send the request again in a moment"


class BossError(Exception):
    """The root of all errors of requests. `str(error)` is one sentence for the sender of the request.

    `name` is the error's name in a response: the end of the problem's `type`.
    """

    name: ClassVar[str] = ""


class BadInput(BossError):
    """The request cannot be understood or stored; the message says what would be right."""

    name = "bad-input"


class UnknownJobs(BadInput):
    """The request names other jobs that do not exist."""

    name = "unknown-jobs"


class TooLarge(BadInput):
    """A document or a result is larger than Boss accepts."""

    name = "too-large"


class BodyTimeout(BossError):
    """The request's body did not come in time."""

    name = "too-slow"


class StateMismatch(BossError):
    """The job is not in the state, or not in the attempt, that the request names.

    Attributes:
        state: the state it is in (a value of `job.State`); None when no job has that id.
        source: the source it belongs to; None when no job has that id.
        unseen: the message for a principal that must not know of that source's jobs.
    """

    def __init__(self, sentence: str, state: str | None, source: str | None = None, unseen: str = "") -> None:
        super().__init__(sentence)
        self.state = state
        self.source = source
        self.unseen = unseen


class NotThere(StateMismatch):
    """The job is not at the address that the request names."""

    name = "not-there"


class WrongAttempt(StateMismatch):
    """The job is in another attempt than the request names: it has been taken again since."""

    name = "wrong-attempt"


class NoJob(BossError):
    """There is no available job to hand out."""

    name = "no-job"


class IdTaken(StateMismatch):
    """A job, of any source and in any state, has the submitted id already."""

    name = "id-taken"


class Unauthenticated(BossError):
    """The request needs a token and has none, or one that is unknown, expired or revoked."""

    name = "not-signed-in"


class Forbidden(BossError):
    """The principal may not do that; the error does not reveal whether what the request names exists."""

    name = "forbidden"


class NoToken(BossError):
    """There is no token of that name."""

    name = "no-token"


class NoSchedule(BossError):
    """There is no schedule of that name."""

    name = "no-schedule"


class SourceInUse(BossError):
    """The source has jobs, so it cannot be deleted."""

    name = "source-in-use"


class RuleChanged(BossError):
    """The rule of the source is not the one that the request names: somebody has changed it since it was read."""

    name = "rule-changed"


class NameTaken(BossError):
    """There is or was a token of that name. No name is used twice, so that audit events stay unambiguous."""

    name = "name-taken"


class NeedsAdmin(BossError):
    """No admin's token would be left, and so nobody could create or revoke tokens."""

    name = "needs-admin"


class TooMany(BossError):
    """Too many requests or waits with one token, or too many jobs of a source; `seconds` is the least time to wait."""

    name = "too-many"

    def __init__(self, sentence: str, seconds: int = 1) -> None:
        super().__init__(sentence)
        self.seconds = seconds


class Unavailable(BossError):
    """Not now: the same request may be sent again in a second."""


class DatabaseAway(Unavailable):
    """PostgreSQL cannot be reached, or the connection was lost before it answered."""

    name = "database-away"


class Overloaded(Unavailable):
    """This server has the most requests under way, or takers waiting, that it allows; another replica may have room."""

    name = "overloaded"


class Draining(Unavailable):
    """The server is shutting down and accepts no new requests."""

    name = "draining"


class Unreachable(BossError):
    """No Boss answers at the client's URL."""


class NotAUrl(Unreachable):
    """The client's URL is not a URL."""


class NotABoss(Unreachable):
    """Something else answers at the URL, or Boss with another scheme than the URL's, or with a certificate that is not
    trusted.
    """


class NotDone(BossError):
    """The job was not done in the time that the client waited."""


class NotCompleted(BossError):
    """The job that the client waited for failed, was stopped or abandoned.

    Attributes:
        outcome: how it ended (a value of `job.Outcome`).
        result: the result that was kept with it; None when there is none.
    """

    def __init__(self, sentence: str, outcome: str, result: object) -> None:
        super().__init__(sentence)
        self.outcome = outcome
        self.result = result


class Lost(BossError):
    """The job is not this converter's any more: it was stopped, or its lease expired and another taker has it."""


class StartError(Exception):
    """Boss cannot start; the message says why and what to do about it."""


class WrongSetting(StartError):
    """A setting on the command line or in the environment is not valid."""


class NoDatabase(StartError):
    """PostgreSQL cannot be reached, or went away again: the same start may succeed later."""
