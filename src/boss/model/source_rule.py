"""A rule of a source: what its jobs are held to, and the defaults of the requests about them. Pure."""

import json
from hashlib import sha256
from math import ceil
from typing import NamedTuple

LONGEST_RETRY_DELAY_S = 366 * 24 * 3600
MOST_DELAYS = 100
LOWEST_RATE, HIGHEST_RATE = 0.001, 1_000_000
LONGEST_KEEP_DONE_DAYS = 36_500


class SourceRule(NamedTuple):
    """What a source is held to, and its defaults, which apply where a request says nothing. Times are in seconds.

    The fields after `source` are the columns of the table `source_rule`.

    Attributes:
        source: the source.
        paused: whether none of its jobs is handed out.
        most_active: how many of its jobs may be active at once; None for any number.
        attempts: the most attempts of its jobs.
        delays: the delay after the first failed attempt, after the second, and so on; the last one repeats.
        lease: the lease of its jobs; 0 for ever.
        timeout: how long an attempt may take.
        rate: how many of its jobs may be taken in a second; None for any number.
        keep_done: for how many days its done jobs are kept.
    """

    source: str
    paused: bool = False
    most_active: int | None = None
    attempts: int | None = None
    delays: tuple[float, ...] | None = None
    lease: int | None = None
    timeout: int | None = None
    rate: float | None = None
    keep_done: float | None = None

    @property
    def limits_takes(self) -> bool:
        """Whether takes must check it. Defaults alone do not hold a job back."""
        return self.paused or self.most_active is not None or self.rate is not None

    @property
    def version(self) -> str:
        """A text that another rule does not have: who changes a part of a rule names by it the rule that they read."""
        return sha256(json.dumps(self.named()).encode()).hexdigest()[:16]

    @property
    def rate_in_words(self) -> str:
        """What the rate means, as a clause."""
        return f"no more than {self.rate:.10g} jobs of {self.source} a second may be taken"

    def takeable(self, ready: int, active: int) -> int:
        """How many of so many ready jobs may be taken within a second, while so many are active."""
        if self.paused:
            return 0
        room = ready if self.most_active is None else max(self.most_active - active, 0)
        return min(ready, room, ready if self.rate is None else ceil(self.rate))

    def named(self) -> dict[str, object]:
        """The rule by the names that it has in requests and audit events."""
        return {_NAMES.get(field, field): value for field, value in self._asdict().items()}


_NAMES = {"most_active": "limit"}
