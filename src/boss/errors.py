"""Every way in which a request can go wrong, as one tree.

BossError
├── BadInput              the request itself is wrong; sending it again will not help
│   └── TooLarge          its document or result is larger than Boss takes
├── NotThere              no such job in that state at that address; `state` says where it is
├── WrongAttempt          the job is there, but in another attempt than the request is about
├── NoJob                 nothing to take just now
├── IdTaken               a job with that id exists already; `state` says where it is
└── Unavailable           not now, but the same request may be sent again
    ├── DatabaseAway      PostgreSQL does not answer
    └── Draining          this server is shutting down
StartError                Boss cannot start here; the message says what to do

The HTTP layer gives each its status (http/problems.py); nothing below it knows of HTTP.
"""


class BossError(Exception):
    """The root: `str(error)` is one sentence for the person who sent the request."""


class BadInput(BossError):
    """The request cannot be understood or stored; the sentence says what would be right."""


class TooLarge(BadInput):
    """A document or a result has more bytes than Boss takes."""


class NotThere(BossError):
    """The job is not at the address that was asked for.

    `state` is where it is instead (a word of `job.State`), None when no job has that id.
    """

    def __init__(self, sentence: str, state: str | None) -> None:
        super().__init__(sentence)
        self.state = state


class WrongAttempt(BossError):
    """The job is in another attempt than the one in the request: somebody else has taken it since.

    `state` is where it is, a word of `job.State`.
    """

    def __init__(self, sentence: str, state: str) -> None:
        super().__init__(sentence)
        self.state = state


class NoJob(BossError):
    """No available job to hand out."""


class IdTaken(BossError):
    """A submit named an id that a job has already, in any state or source; `state` is that job's."""

    def __init__(self, sentence: str, state: str | None) -> None:
        super().__init__(sentence)
        self.state = state


class Unavailable(BossError):
    """Not now: the same request may be sent again in a second."""


class DatabaseAway(Unavailable):
    """PostgreSQL cannot be reached, or it broke off before it answered."""


class Draining(Unavailable):
    """The server is shutting down and takes no new requests."""


class StartError(Exception):
    """Boss cannot start; the message says why and what to do about it."""
