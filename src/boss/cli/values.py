"""Parse the values of options and arguments as Typer does, but mostly without pydantic.

Typer 0.29 parses them with pydantic, which takes 50 ms to import: as long as all the rest of `boss check`.
"""

import re
from collections.abc import Callable
from datetime import datetime
from difflib import get_close_matches
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Any

import typer
from typer import core

from boss.cli.times import seconds_of

_NUMBERS: dict[object, str] = {int: "a whole number", float: "a number"}
# The format of an instant. It is parsed here, for Typer's message names only the format.
TIME = "%Y-%m-%dT%H:%M:%S%z"
_YES, _NO = ("1", "true", "yes", "on", "t", "y"), ("0", "false", "no", "off", "f", "n", "")


class _Value:
    """Parses the value of one option or argument. Typer parses those that are no text, path, number, flag or choice."""

    def __init__(self, descriptor: Any, theirs: Callable[[Any], Any]) -> None:
        self._descriptor = descriptor
        self._theirs = theirs
        self._annotation = descriptor.annotation

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The parsed value, from the text on the command line or in the environment."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        try:
            return self._read(value, param, ctx)
        except ValueError as error:
            raise typer.BadParameter(str(error), ctx=ctx, param=param) from None

    def _read(self, value: Any, param: Any, ctx: Any) -> Any:
        info = self._descriptor.parameter_info
        # A shell passes an empty word for "$SOURCE" when that is not set. It must not mean any source, or another path.
        words = [value] if isinstance(value, str) else value
        if param.param_type_name == "argument" and "" in words:
            raise ValueError("it is empty; is a variable not set?")
        if self._annotation is str and not info.parser:
            return str(value)
        if self._annotation == list[str]:
            return [str(each) for each in value]
        if self._annotation is Path and not info.exists:
            return Path(value)
        if self._annotation is bool:
            return value if isinstance(value, bool) else _switch(str(value))
        if isinstance(self._annotation, type) and issubclass(self._annotation, Enum):
            return _choice(self._annotation, str(value))
        if self._annotation in _NUMBERS:
            return self._number(value, info.min, info.max, str(info.metavar or ""))
        if info.formats == [TIME]:
            return _time(str(value))
        return self._theirs(self._descriptor).coerce(value, param, ctx)

    def _number(self, value: Any, least: float | None, most: float | None, unit: str) -> float:
        takes = _NUMBERS[self._annotation] + (f" of {unit.lower()}" if unit.endswith("S") else "")
        try:
            number: float = self._annotation(value)
            if not isfinite(number):
                raise ValueError
        except (ValueError, OverflowError):
            raise ValueError(f"{value!a} is not {takes}{_meant(str(value), unit)}.") from None
        takes += "" if least is None else f" from {least}"
        takes += "" if most is None else f" to {most}"
        if least is not None and not number >= least:
            raise ValueError(f"{value} is less than {least}; it takes {takes}.")
        if most is not None and not number <= most:
            raise ValueError(f"{value} is more than {most}; it takes {takes}.")
        return number


def _choice(kind: type[Enum], word: str) -> Enum:
    words = [str(each.value) for each in kind]
    if word in words:
        return kind(word)
    close = get_close_matches(word, words, n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    raise ValueError(f"{word!a} is not one of {', '.join(words)}{meant}.")


def _meant(word: str, unit: str) -> str:
    """A hint for a size or a span of time with a unit, such as 64MiB or 5m."""
    seconds = seconds_of(word)
    if unit in ("SECONDS", "DAYS") and seconds is not None:
        return f"; say {seconds / (86_400 if unit == 'DAYS' else 1):.10g}"
    return _bytes(word) if unit == "BYTES" else ""


def _bytes(word: str) -> str:
    found = re.fullmatch(r"(\d{1,9})\s*([kmg])(i?)b?", word.strip(), re.IGNORECASE)
    if not found:
        return ""
    step = 1024 if found[3] else 1000
    return f"; say {int(found[1]) * step ** ('kmg'.index(found[2].lower()) + 1)}"


def _time(word: str) -> datetime:
    try:
        instant = datetime.fromisoformat(word)
        if instant.tzinfo is None:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{word!a} is not a time with its offset from UTC; it should look like 2026-11-24T18:30:00+01:00 "
            "or 2026-11-24T17:30:00Z."
        ) from None
    return instant


def _switch(word: str) -> bool:
    if word.strip().lower() in _YES:
        return True
    if word.strip().lower() in _NO:
        return False
    raise ValueError(f"{word!a} is neither yes nor no: it should be 1 or 0.")


def read_plainly() -> None:
    """Make Typer parse values by `_Value`. A Typer without this function parses them in its own way."""
    theirs: Callable[[Any], Any] | None = getattr(core, "build_runtime_param", None)
    if theirs is None:
        return

    def ours(descriptor: Any) -> Any:
        return _Value(descriptor, theirs)

    core.build_runtime_param = ours  # type: ignore[attr-defined]
