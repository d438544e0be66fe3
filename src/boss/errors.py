"""Every way in which a request can go wrong, as one tree.

BossError
├── BadInput              the request itself is wrong; sending it again will not help
│   └── TooLarge          its document or result is larger than Boss takes
├── NotThere              no such job in that state at that address; `state` says where it is
├── WrongAttempt          the job is there, but in another attempt than the request is about
├── NoJob                 nothing to take just now
├── IdTaken               a job with that id exists already; `state` says where it is
├── Unavailable           not now, but the same request may be sent again
│   ├── DatabaseAway      PostgreSQL does not answer
│   └── Draining          this server is shutting down
├── Unreachable           a client gave up: no Boss answers there
└── Lost                  the job of a converter was stopped, or is somebody else's by now
StartError                Boss cannot start here; the message says what to do

The HTTP layer gives each its status (http/problems.py), and a client raises it again by its name
(client/connection.py).
"""

from typing import ClassVar

# The `type` of a problem (RFC 9457) is this and the error's name.
PROBLEM_TYPE = "urn:boss:problem:"


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


class NotThere(BossError):
    """The job is not at the address that was asked for.

    `state` is where it is instead (a word of `job.State`), None when no job has that id.
    """

    name = "not-there"

    def __init__(self, sentence: str, state: str | None) -> None:
        super().__init__(sentence)
        self.state = state


class WrongAttempt(BossError):
    """The job is in another attempt than the one in the request: somebody else has taken it since.

    `state` is where it is, a word of `job.State`.
    """

    name = "wrong-attempt"

    def __init__(self, sentence: str, state: str) -> None:
        super().__init__(sentence)
        self.state = state


class NoJob(BossError):
    """No available job to hand out."""

    name = "no-job"


class IdTaken(BossError):
    """A submit named an id that a job has already, in any state or source; `state` is that job's."""

    name = "id-taken"

    def __init__(self, sentence: str, state: str | None) -> None:
        super().__init__(sentence)
        self.state = state


class Unavailable(BossError):
    """Not now: the same request may be sent again in a second."""


class DatabaseAway(Unavailable):
    """PostgreSQL cannot be reached, or it broke off before it answered."""

    name = "database-away"


class Draining(Unavailable):
    """The server is shutting down and takes no new requests."""

    name = "draining"


class Unreachable(BossError):
    """No Boss answers at the URL, or something that is no Boss does."""


class Lost(BossError):
    """The job is not this converter's any more: it was stopped, or its lease ran out and somebody else has it."""


class StartError(Exception):
    """Boss cannot start; the message says why and what to do about it."""
