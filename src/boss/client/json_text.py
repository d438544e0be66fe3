"""Documents and results as JSON: a dict, or JSON text that is sent unchanged."""

import json
from typing import Any

from boss.errors import BadInput

# Python parses no int of more than 4300 digits.
_MANY_DIGITS = 4000

Document = dict[str, Any]
# A document or a result as an argument. Text can have what a dict cannot: every digit of a number, and 1e400.
Json = Document | str | bytes


def json_text(value: Json) -> str:
    """The JSON text of a value.

    Raises:
        BadInput: the value has something that JSON does not have, or is not UTF-8.
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
    except Exception as error:  # values of the caller's own classes may raise anything
        raise BadInput(_no_json(error)) from error
    # A lone surrogate cannot be encoded as UTF-8. It is sent as an escape, and the server says what is wrong with it.
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
    """The class and message of an error. Errors of the caller's own may have no message, or raise when it is read."""
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
    # Imported here, because it is slow to import and rarely needed.
    from decimal import Decimal

    return int(digits) if len(digits) < _MANY_DIGITS else Decimal(digits)


class Number(str):
    """A number exactly as it was written, for printing. A float would have fewer digits, and no 1e400."""


def read_exactly(text: str) -> Any:
    """The value of JSON text. A number that Python's numbers cannot represent exactly is a `Number`."""
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
