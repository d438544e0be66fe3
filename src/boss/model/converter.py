"""A converter as administrators see it. Pure."""

from datetime import datetime
from typing import NamedTuple


class KnownConverter(NamedTuple):
    """A converter that named itself in a take.

    Attributes:
        name: its name.
        sources: the sources that it last took from; None for any.
        holds: how many jobs it holds.
        taken: how many jobs it has taken while Boss knew it.
        heard: when it last took a job, asked for one, or sent a heartbeat.
    """

    name: str
    sources: tuple[str, ...] | None
    holds: int
    taken: int
    heard: datetime
