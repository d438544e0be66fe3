"""Every way in which a request can go wrong, as one tree.

BossError
├── BadInput              the request itself is wrong; sending it again will not help
│   └── TooLarge          its document or result is larger than Boss takes
├── BodyTimeout           the request's body did not come in time
├── StateMismatch         a job is not in the state of the request; `state` says where it is
│   ├── NotThere          no such job in that state at that address
│   ├── WrongAttempt      the job is there, but in another attempt than the request is about
│   └── IdTaken           a job with that id exists already
├── NoJob                 nothing to take just now
├── Unauthenticated       a token is needed, and there is none, or it is not valid any more
├── Forbidden             whoever asks may not do that
├── NoToken               there is no token of that name
├── NameTaken             there is or was a token of that name
├── NeedsAdmin            nobody could administer Boss after that
├── TooMany               too much of something that is limited; the same request may be sent again later
├── Unavailable           not now, but the same request may be sent again
│   ├── DatabaseAway      PostgreSQL does not answer
│   ├── Overloaded        this server has as many requests under way, or takers waiting, as it takes
│   └── Draining          this server is shutting down
├── Unreachable           a client gave up: no Boss answers there
│   ├── NotAUrl           where it was told to look is no URL
│   └── NotABoss          something else answers there
└── Lost                  the job of a converter was stopped, or is somebody else's by now
StartError                Boss cannot start here; the message says what to do
├── WrongSetting          what it was told cannot be
└── NoDatabase            PostgreSQL cannot be reached, and may be later

The HTTP layer gives each its status (http/problems.py), and a client raises it again by its name
(client/answers.py).
"""

from typing import ClassVar

# The `type` of a problem (RFC 9457) is this and the error's name.
PROBLEM_TYPE = "urn:boss:problem:"
# The problem of a request without TLS where TLS is needed.
HTTPS_NEEDED = "https-needed"
# What is said of whatever needs TLS and was asked without.
SPEAKS_HTTPS = "speaks https, not http: say https://"
# The sentence of a 503 whose cause is the database.
DATABASE_AWAY = "the database is away; send the request again in a moment"


class BossError(Exception):
    """The root: `str(error)` is one sentence for the person who sent the request.

    `name` is how the error is called in an answer: the end of a problem's `type`.
    """

    name: ClassVar[str] = ""


class BadInput(BossError):
    """The request cannot be understood or stored; the sentence says what would be right."""

    name = "bad-input"


class TooLarge(BadInput):
    """A document or a result has more bytes than Boss takes."""

    name = "too-large"


class BodyTimeout(BossError):
    """The request's body did not come in time."""

    name = "too-slow"


class StateMismatch(BossError):
    """A job is not as the request has it.

    `state` is where it is instead (a word of `job.State`), None when no job has that id; `source` is whose it is, and
    `unseen` is the sentence for somebody who must not know of that source's jobs.
    """

    def __init__(self, sentence: str, state: str | None, source: str | None = None, unseen: str = "") -> None:
        super().__init__(sentence)
        self.state = state
        self.source = source
        self.unseen = unseen


class NotThere(StateMismatch):
    """The job is not at the address that was asked for."""

    name = "not-there"


class WrongAttempt(StateMismatch):
    """The job is in another attempt than the one in the request: somebody else has taken it since."""

    name = "wrong-attempt"


class NoJob(BossError):
    """No available job to hand out."""

    name = "no-job"


class IdTaken(StateMismatch):
    """A submit named an id that a job has already, in any state or source."""

    name = "id-taken"


class Unauthenticated(BossError):
    """The request needs a token and has none, or one that is unknown, expired or revoked."""

    name = "not-signed-in"


class Forbidden(BossError):
    """Whoever sent the request may not do that; whether what it names exists is not said."""

    name = "forbidden"


class NoToken(BossError):
    """There is no token of that name."""

    name = "no-token"


class NameTaken(BossError):
    """There is or was a token of that name; so that the record of who did what stays clear, none is used twice."""

    name = "name-taken"


class NeedsAdmin(BossError):
    """Without a token of an admin's nobody could make or revoke one."""

    name = "needs-admin"


class TooMany(BossError):
    """Too many requests with one token, or too many jobs of a source; `seconds` is how long to wait at least."""

    name = "too-many"

    def __init__(self, sentence: str, seconds: int = 1) -> None:
        super().__init__(sentence)
        self.seconds = seconds


class Unavailable(BossError):
    """Not now: the same request may be sent again in a second."""


class DatabaseAway(Unavailable):
    """PostgreSQL cannot be reached, or it broke off before it answered."""

    name = "database-away"


class Overloaded(Unavailable):
    """This server has as many requests under way, or takers waiting, as it takes; another replica may have room."""

    name = "overloaded"


class Draining(Unavailable):
    """The server is shutting down and takes no new requests."""

    name = "draining"


class Unreachable(BossError):
    """No Boss answers at the URL, or something that is no Boss does."""


class NotAUrl(Unreachable):
    """Where a client was told to look for Boss is no URL."""


class NotABoss(Unreachable):
    """What answers at the URL is no Boss, or not in the way that the URL says, or cannot show to be the one."""


class Lost(BossError):
    """The job is not this converter's any more: it was stopped, or its lease ran out and somebody else has it."""


class StartError(Exception):
    """Boss cannot start; the message says why and what to do about it."""


class WrongSetting(StartError):
    """What it was told on its command line, or in its environment, cannot be."""


class NoDatabase(StartError):
    """PostgreSQL cannot be reached, or goes away again: the same start may succeed later."""
