"""Rounds: one statement changes a job once, so what changes it again goes into a later statement."""

from collections.abc import Iterator, Sequence


def rounds(ids: Sequence[str]) -> Iterator[list[int]]:
    """The indexes of these ids in rounds: no round has an id twice, and a repeated id comes in a later round."""
    left = list(range(len(ids)))
    while left:
        first: dict[str, int] = {}
        for index in left:
            first.setdefault(ids[index], index)
        now = set(first.values())
        yield sorted(now)
        left = [index for index in left if index not in now]
