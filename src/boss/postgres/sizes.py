"""Sizes of texts: the most that one reader gets at once, and what is shown for a larger text."""

from boss.model.document import MOST_TEXT

_TOO_LARGE = f'"too large to be shown: more than {MOST_TEXT:,} bytes"'


def size_of(column: str) -> str:
    """SQL for the size of a column's text in bytes; `MOST_TEXT` + 1 for any larger text. It measures unknown sizes."""
    return f"coalesce({column}_bytes, text_bytes({column}, {MOST_TEXT}))"


def about(column: str) -> str:
    """Like `size_of`, but estimates unknown sizes: to measure a megabyte of numbers takes 44 milliseconds.

    What is stored in less than 2,000 bytes is not compressed, so its text is not much longer, except for extreme
    numbers.
    """
    return f"""coalesce({column}_bytes, CASE
        WHEN {column} IS NULL THEN 0
        WHEN pg_column_size({column}) < 2000 THEN 8192
        ELSE 1048576
    END)"""


def text_of(column: str) -> str:
    """SQL for a column's text. For a text that is too large it is a JSON string that says so, never a JSON object."""
    return f"""CASE
        WHEN {size_of(column)} <= {MOST_TEXT} THEN {column}::text
        WHEN {column} IS NOT NULL THEN '{_TOO_LARGE}'
    END"""
