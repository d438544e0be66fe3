"""What the reference pages are put together from."""

from collections.abc import Iterable, Iterator, Sequence

NOTE = ("<!-- Made by docs/reference.py from the code; `make docs` makes it anew. -->", "")


def cell(text: str | None) -> str:
    """A text as one cell of a table has it."""
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table."""
    yield f"| {' | '.join(headings)} |"
    yield f"| {' | '.join('---' for _ in headings)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
