"""Errors as the log shows them: their kind and where they came from, and nothing that a client sent.

The log always shows an error's type, its frames (file, line and function, without source text and locals), and the
errors that led to it. For PostgreSQL's errors it adds the SQLSTATE and the names of table, column, data type and
constraint. For system errors it adds the standard text of the error number; their own message may have an address.

It shows a message only where Python makes it of names in code (`_ABOUT_CODE`). All other messages may quote what they
were given (`invalid literal for int(): '…'`, `KeyError: '…'`, PostgreSQL's `invalid input syntax`), and so a document,
a result, a token or a password. The frames say where it happened, so that a developer can reproduce it.
"""

import os
from collections.abc import Iterator
from traceback import StackSummary, walk_tb

_ABOUT_CODE = (
    AttributeError,
    ImportError,
    MemoryError,
    ModuleNotFoundError,
    NameError,
    NotImplementedError,
    RecursionError,
    TypeError,
    UnboundLocalError,
    ZeroDivisionError,
)
_OF_POSTGRES = ("sqlstate", "schema_name", "table_name", "column_name", "data_type_name", "constraint_name")
# The most frames, of which the innermost are kept, and the most errors that led to each other.
_MOST_FRAMES = 40
_MOST_ERRORS = 10

Told = dict[str, object]


def tell(error: BaseException) -> list[Told]:
    """What the log shows of an error, and then of each error that led to it."""
    return [_told(each) for each, _ in zip(_chain(error), range(_MOST_ERRORS), strict=False)]


def as_text(told: list[Told]) -> str:
    """The same as text for people, in Python's order: the error itself at the end."""
    return "\n".join(_lines(each) for each in reversed(told))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, the errors of its group, and the errors that led to it."""
    seen: set[int] = set()
    next_ones = [error]
    while next_ones:
        error = next_ones.pop(0)
        if id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        if isinstance(error, BaseExceptionGroup):
            next_ones += error.exceptions
        before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if before:
            next_ones.append(before)


def _told(error: BaseException) -> Told:
    frames = StackSummary.extract(walk_tb(error.__traceback__), limit=-_MOST_FRAMES, lookup_lines=False)
    return {
        "type": f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
        **_said(error),
        "frames": [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames],
    }


def _said(error: BaseException) -> Told:
    if type(error) in _ABOUT_CODE:
        return {"message": str(error)}
    if isinstance(error, OSError) and error.errno:
        return {"message": os.strerror(error.errno)}
    return {name: said for name in _OF_POSTGRES if isinstance(said := getattr(error, name, None), str)}


def _lines(told: Told) -> str:
    facts = [f"{name}: {value}" for name, value in told.items() if name not in ("type", "frames")]
    frames = told["frames"]
    assert isinstance(frames, list)
    return "\n".join([*(f"  {frame}" for frame in frames), "  ".join([str(told["type"]), *facts])])
