"""Sizes of texts: the most that one reader gets at once, and what is shown for a larger text."""

from boss.model.document import MOST_TEXT
from boss.model.job import MOST_NOTE

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


# SQL for the most bytes of the text of a job's note. Only small notes are measured, which costs little.
NOTE_SIZE = f"""CASE
        WHEN note IS NULL THEN 0
        WHEN pg_column_size(note) < 2000 THEN octet_length(note::text)
        ELSE {MOST_NOTE}
    END"""


def with_note(size: str) -> str:
    """SQL for the bytes that a taker gets: the size of the document, and that of the note if there is one.

    A note never makes a job too large to be handed out, however large its document is.
    """
    return f"""CASE WHEN note IS NULL THEN {size}
        ELSE greatest({size}, least({size} + {NOTE_SIZE}, {MOST_TEXT}))
    END"""


def text_of(column: str) -> str:
    """SQL for a column's text. For a text that is too large it is a JSON string that says so, never a JSON object."""
    return f"""CASE
        WHEN {size_of(column)} <= {MOST_TEXT} THEN {column}::text
        WHEN {column} IS NOT NULL THEN '{_TOO_LARGE}'
    END"""


def shortened(text: str) -> str:
    """SQL for a text of at most 500 characters: of a longer one the beginning and the end.

    The end of a Python traceback says what was wrong; other errors begin with it. OFFSET 0 keeps PostgreSQL from
    reading the text once for each use.
    """
    return f"""(SELECT CASE WHEN length(said) <= 500 THEN said ELSE left(said, 150) || ' ... ' || right(said, 345) END
         FROM (SELECT {text} AS said OFFSET 0) AS whole)"""
