"""What a log says of an error: what kind it is and where it came from, and nothing that somebody has sent.

Always: its type, its frames as file, line and function, without source text and without locals, and what led to it. Of
PostgreSQL's errors besides: the SQLSTATE, and the names of table, column, data type and constraint. Of the system's:
the error number's own words, for what else they say may be an address.

The message only of errors whose message Python puts together from names in code (`_ABOUT_CODE`). Those of all others
may quote what they were given: `invalid literal for int(): '…'`, `KeyError: '…'`, PostgreSQL's `invalid input syntax`;
and so a document, a result, a token or a password. The frames say where that was, so it can be tried again by hand.
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
# So many frames are kept, the innermost, and so many errors that led to each other.
_MOST_FRAMES = 40
_MOST_ERRORS = 10

Told = dict[str, object]


def tell(error: BaseException) -> list[Told]:
    """What a log says of an error, and after it of each one that led to it."""
    return [_told(each) for each, _ in zip(_chain(error), range(_MOST_ERRORS), strict=False)]


def as_text(told: list[Told]) -> str:
    """The same for a person: the first error at the end, as Python has it."""
    return "\n".join(_lines(each) for each in reversed(told))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, those that it is a group of, and those that led to it."""
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
