"""How much one statement gives to a reader, and what stands for a text that is larger than that."""

from boss.model.document import MOST_TEXT

_TOO_LARGE = f'"too large to be shown: more than {MOST_TEXT:,} bytes"'


def size_of(column: str) -> str:
    """The bytes of a column's text, in SQL; `MOST_TEXT` + 1 for all that is larger. It is measured when not known."""
    return f"coalesce({column}_bytes, text_bytes({column}, {MOST_TEXT}))"


def about(column: str) -> str:
    """As `size_of`, without measuring what is not known: to measure a megabyte of numbers takes 44 milliseconds.

    What is stored in less than 2,000 bytes is not compressed, so its text is not much longer, but for extreme numbers.
    """
    return f"""coalesce({column}_bytes, CASE
        WHEN {column} IS NULL THEN 0
        WHEN pg_column_size({column}) < 2000 THEN 8192
        ELSE 1048576
    END)"""


def text_of(column: str) -> str:
    """A column's text, in SQL; when that is too large, a JSON string that says so, which is no document."""
    return f"""CASE
        WHEN {size_of(column)} <= {MOST_TEXT} THEN {column}::text
        WHEN {column} IS NOT NULL THEN '{_TOO_LARGE}'
    END"""
