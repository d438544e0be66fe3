"""Statements, and the arrays that they are given."""

from typing import NamedTuple

from boss.postgres.statement import Arrays, Statement


class InOrder(NamedTuple):
    id: str
    source: str
    attempt: int | None = None


class Swapped(NamedTuple):
    attempt: int | None
    source: str
    more: str
    id: str


ARRAYS = Arrays(2, id="text", source="text", attempt="int")


def test_a_field_is_found_by_its_name_wherever_it_stands() -> None:
    expected = [("a", "b"), ("freg", "sirius"), (1, None)]
    assert ARRAYS.of([InOrder("a", "freg", 1), InOrder("b", "sirius")]) == expected
    assert ARRAYS.of([Swapped(1, "freg", "x", "a"), Swapped(None, "sirius", "y", "b")]) == expected


def test_a_column_without_values_is_empty() -> None:
    assert ARRAYS.of([InOrder("a", "freg"), InOrder("b", "freg")])[2] == ()


def test_the_sql_says_the_parameters_and_their_types() -> None:
    assert ARRAYS.unnest == "unnest($2::text[], $3::text[], $4::int[])"
    assert ARRAYS.names == "id, source, attempt"


def test_the_name_comes_first() -> None:
    statement = Statement("count", "\nSELECT 1\n")
    assert (statement.name, statement.sql) == ("count", "-- count\nSELECT 1\n")
