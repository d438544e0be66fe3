"""What a statement is made of: its name, its SQL, the predicates that several share, and the arrays it is given."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final, NamedTuple


class Statement:
    """One SQL statement.

    Attributes:
        name: what it is called in metrics; in `pg_stat_activity` the first line of `sql` says it.
        sql: the whole statement, as it can be pasted into psql.
    """

    __slots__ = ("name", "sql")

    def __init__(self, name: str, sql: str) -> None:
        self.name: Final = name
        self.sql: Final = f"-- {name}\n{sql.strip()}\n"


# A job that a take may get: available, and due.
READY = "status = 'AVAILABLE' AND due_at IS NULL"


def probe(column: str, value: str) -> str:
    """The condition that an indexed column has a value, in a form that only lets PostgreSQL look it up.

    For `column = value` a planner that believes the table to be nearly empty reads the whole index for each row, or all
    active jobs and joins them; tests/integration/test_plans.py counts what is read.
    """
    return f"{column} = ANY(ARRAY[{value}])"


class Arrays:
    """Rows as arrays, one for each column, as `unnest` takes them: which field is which parameter, and of which type.

    Args:
        first: the number of the first parameter.
        types: the PostgreSQL type of each column, by the name of the field that it comes from.

    Attributes:
        names: the names of the columns, for `AS asked(…)`.
        unnest: the call of `unnest`.
    """

    def __init__(self, first: int = 1, **types: str) -> None:
        self._fields = tuple(types)
        self._in_order = attrgetter(*types)
        self.names = ", ".join(types)
        self.unnest = f"unnest({', '.join(f'${first + turn}::{each}[]' for turn, each in enumerate(types.values()))})"

    def of(self, rows: Sequence[NamedTuple]) -> list[Sequence[object]]:
        """The values of the parameters for these rows, at least one.

        An empty array stands for a column in which no row has a value, as `unnest` fills it up. To send it in full
        costs Boss 0.08 µs a row, and PostgreSQL as much: a third of what most jobs come with is nothing.
        """
        # Rows that have just these fields, in this order, need not be taken apart: a third of a microsecond each.
        has_just_these = rows[0]._fields == self._fields
        columns = zip(*(rows if has_just_these else map(self._in_order, rows)), strict=True)
        return [() if column.count(None) == len(column) else column for column in columns]
