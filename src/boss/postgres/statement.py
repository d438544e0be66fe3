"""SQL statements: their names, the tables and predicates that several share, and rows passed as arrays."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Final, NamedTuple


class Statement:
    """One SQL statement.

    Attributes:
        name: its name in metrics; the first line of `sql` shows it in `pg_stat_activity`.
        sql: the whole statement; it can be pasted into psql.
    """

    __slots__ = ("name", "sql")

    def __init__(self, name: str, sql: str) -> None:
        self.name: Final = name
        self.sql: Final = f"-- {name}\n{sql.strip()}\n"


# The most rows of a statement: well past the point where more rows make it faster.
MOST_ROWS = 1000

# The condition of a job that a take may get: available and due.
READY = "status = 'AVAILABLE' AND due_at IS NULL"

# The numbers of the volumes, the tables of done jobs (0013_volumes.sql). `FROM job` reads these too. `FROM ONLY job`
# does not: it locks and opens one table instead of nine, which saves a statement 30 µs.
VOLUMES = range(1, 9)
# Whoever moves jobs into a volume holds this advisory lock.
MOVE_LOCK = 0x626F7373_6D6F7665  # "bossmove"


def volume_table(volume: int) -> str:
    """The name of the table of a volume."""
    return f"job_done_{volume}"


def probe(column: str, value: str) -> str:
    """The condition that an indexed column has a value, in a form that leaves PostgreSQL only an index lookup.

    For `column = value`, a planner that believes the table to be nearly empty reads the whole index for each row, or
    reads all active jobs and joins them. tests/integration/test_plans.py counts what is read.
    """
    return f"{column} = ANY(ARRAY[{value}])"


def until_timeout(until: str, taken_at: str = "job.taken_at") -> str:
    """The end of a lease, or that of the attempt if it comes first; NULL when there is neither."""
    return f"least({until}, {taken_at} + job.timeout * interval '1 second')"


# How long a taker may be silent, in seconds; 0 for ever. An attempt that must end before its lease would is heard of in
# time by a taker that sends its heartbeats by this.
LEASE = "coalesce(least(nullif(job.lease, 0), job.timeout), 0) AS lease"


class Arrays:
    """Passes rows to a statement as arrays, one parameter for each column, which the SQL reads with `unnest`.

    Args:
        first: the number of the first parameter.
        types: the PostgreSQL type of each column, by the name of its field.

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
        """The parameters for these rows, of which there must be at least one.

        A column in which every row is None becomes an empty array, which `unnest` fills with NULLs. To send it in full
        would cost Boss 0.08 µs a row, and PostgreSQL as much: for most jobs a third of the columns are None.
        """
        # Rows with just these fields, in this order, are used as they are: that saves a third of a microsecond a row.
        has_just_these = rows[0]._fields == self._fields
        columns = zip(*(rows if has_just_these else map(self._in_order, rows)), strict=True)
        return [() if column.count(None) == len(column) else column for column in columns]
