"""Documents and results, on their way to Boss: a dict, or JSON text that is sent as it is."""

import json
from typing import Any

from boss.errors import BadInput

# Python reads no int of more than 4300 digits.
_MANY_DIGITS = 4000

Document = dict[str, Any]
# What a method takes as a document or a result. Text keeps what no dict can: every digit, and 1e400.
Json = Document | str | bytes


def json_text(value: Json) -> str:
    """The JSON text of it.

    Raises:
        BadInput: it has what JSON does not have, or is no UTF-8.
    """
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise BadInput(f"JSON is UTF-8, and this is not: {error.reason} at byte {error.start + 1}") from error
    if isinstance(value, str):
        if not _is_sendable(value):
            raise BadInput("it has half of a surrogate pair, as file names that are no UTF-8 do in Python")
        return value
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except Exception as error:  # what a value of one's own raises is no JSON either
        raise BadInput(_no_json(error)) from error
    # Half of a surrogate pair is no text that could be sent: escaped it is, and the server says what is wrong with it.
    return text if _is_sendable(text) else json.dumps(value)


def _no_json(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, ValueError) and "Circular" in str(error):
        return "what holds itself is no JSON"
    if isinstance(error, ValueError) and "Out of range float" in str(error):
        return "NaN and Infinity are no JSON: send null, or a string"
    return f"it is no JSON: {described(error)}"


def described(error: BaseException) -> str:
    """The error's kind and words; one's own errors may have none, or fail to say them."""
    try:
        words = str(error)
    except Exception:
        words = ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _is_sendable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read(text: str) -> Any:
    """The value of JSON text, however many digits its numbers have."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.loads(text, parse_int=_long)


def _long(digits: str) -> Any:
    # Here, for hardly anything needs it, and it is slow to import.
    from decimal import Decimal

    return int(digits) if len(digits) < _MANY_DIGITS else Decimal(digits)


class Number(str):
    """A number as it was written, for what is only to be printed: a float has fewer digits, and no 1e400."""


def read_exactly(text: str) -> Any:
    """The value of JSON text, in which what no Python number is like is a `Number`."""
    return json.loads(text, parse_float=Number, parse_int=_whole)


def _whole(digits: str) -> int | Number:
    return int(digits) if len(digits) < _MANY_DIGITS else Number(digits)


def exact(value: object) -> str:
    """The JSON text of a value that `read_exactly` read."""
    if isinstance(value, Number):
        return value
    if isinstance(value, dict):
        return f"{{{', '.join(f'{exact(name)}: {exact(each)}' for name, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(exact, value))}]"
    return json.dumps(value, ensure_ascii=False)
