"""Documents and results: JSON objects that PostgreSQL's jsonb can store. Pure.

The text is checked here once and then passed through; nothing ever serialises it again.
"""

import re
from collections import Counter
from typing import Any, NamedTuple

import orjson

from boss.errors import BadInput, TooLarge
from boss.model.job import MOST_TEXT as MOST_TEXT

# The most digits that a number in jsonb can have before and after its decimal point. These are the limits of numeric:
# https://www.postgresql.org/docs/current/datatype-numeric.html
_DIGITS_BEFORE, _DIGITS_AFTER = 131_072, 16_383
# jsonb refuses every number with a larger exponent, even zero. At exactly this one it depends on PostgreSQL's version.
_EXPONENT_LIMIT = 2**30 - 1
# Maps every digit to 0 and E to e, so that a plain search finds an exponent or a long run of digits.
_DIGITS_ALIKE = bytes.maketrans(b"123456789.E", b"0000000000e")
_LONG_NUMBER = b"0" * (_DIGITS_AFTER + 1)
# A possible number with an exponent. It may also match inside a string, but there almost nothing is followed by what
# follows a number.
_EXPONENT = re.compile(rb"[0-9][eE][+-]?[0-9]++[ \t\r\n]*+[,\]}]")
# These patterns never backtrack (++ and *+), and a string may lack its end. So they read no byte more than a few times,
# whatever the input.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?'
_STRINGS = re.compile(_STRING, re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)")
_UNUSUAL_NUMBER = re.compile(rb"(?<=[,:\[])-?(?:[0-9.]++[eE][+-]?[0-9]++|[0-9.]{%d,}+(?![eE]))" % len(_LONG_NUMBER))
_MINUS_ZERO = re.compile(rb"(?<=[,:\[])-(0(?:\.0+)?)(?=[,\]}])")
_NUMBER_OR_STRING = re.compile(rb"(%s)|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?" % _STRING, re.DOTALL)
_WHITE_SPACE = b" \t\r\n"


class JsonText(NamedTuple):
    """A JSON object as text, and the most bytes that a reader gets back; most get a few bytes fewer."""

    text: str
    size: int


def check_object(body: bytes, what: str, most: int) -> JsonText:
    """The text of a JSON object and its size; see `parse_object` and `size_as_read`."""
    text = parse_object(body, what)
    return JsonText(text, size_as_read(text, what, most))


def parse_object(body: bytes, what: str) -> str:
    """The text of a JSON object, unchanged except that white space around it is removed.

    Args:
        body: the bytes as sent.
        what: what error messages call it, for instance "the document".

    Raises:
        BadInput: it is not UTF-8, not JSON, not an object, or has a NUL character.
    """
    try:
        text = body.decode().strip(_WHITE_SPACE.decode())
    except UnicodeDecodeError as error:
        raise BadInput(f"{what} is not UTF-8: {error.reason} at byte {error.start}") from None
    if not text:
        raise BadInput(f"{what} is empty; send a JSON object such as {{}}")
    body = body.strip(_WHITE_SPACE)
    value = _parse(body, what)
    if not isinstance(value, dict):
        raise BadInput(f"{what} is {_kind(value)}; send a JSON object such as {{}}")
    # Search for the escape first: almost no text has it.
    if "\\u0000" in text and _has_nul(value):
        raise BadInput(f"{what} has a NUL character (\\u0000) in a string, which cannot be kept")
    return text


def _parse(body: bytes, what: str) -> Any:
    try:
        return _loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{what} is not JSON: {error}") from None


def _loads(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "infinity" not in error.msg:
            raise
    # jsonb can store a number past the range of a double; orjson cannot parse it. Check everything but the numbers.
    return orjson.loads(_NUMBER_OR_STRING.sub(lambda found: found[1] or b"0".ljust(len(found[0])), body))


def size_as_read(text: str, what: str, most: int) -> int:
    """The most bytes that a reader gets back; most get a few bytes fewer.

    Args:
        text: the text of a JSON object.
        what: what error messages call it.
        most: the largest size allowed. The size can be many times what was sent, since jsonb writes exponents out in
            full.

    Raises:
        BadInput: it has a number that jsonb cannot store.
        TooLarge: it is larger than `most`.
    """
    body = text.encode()
    # jsonb adds a space after each comma and colon, and nothing else.
    bound = len(body) + body.count(b",") + body.count(b":")
    if bound <= most and not _has_unusual_number(body):
        return bound
    size = _exact_size(body, what)
    if size > most:
        raise TooLarge(
            f"{what} is larger than {most} bytes, which is the most this Boss takes: it was sent as {len(body):,} "
            f"bytes and would be read as {size:,}, because jsonb writes spaces after commas and colons, and exponents "
            "in full"
        )
    return size


def _has_unusual_number(body: bytes) -> bool:
    alike = body.translate(_DIGITS_ALIKE)
    return (b"0e" in alike and _EXPONENT.search(body) is not None) or (
        len(body) > _DIGITS_AFTER and _LONG_NUMBER in alike
    )


def _exact_size(body: bytes, what: str) -> int:
    """The length of `body::jsonb::text`. Where an object has a name twice, both are counted."""
    strings = _STRINGS.findall(body)
    # jsonb writes minus zero without its sign.
    rest = _MINUS_ZERO.sub(rb"\1", _STRINGS.sub(b"", body).translate(None, _WHITE_SPACE))
    size = len(rest) + rest.count(b",") + rest.count(b":") + sum(map(len, strings))
    escapes = Counter(escape for string in strings if b"\\" in string for escape in _ESCAPE.findall(string))
    size -= sum(times * (len(escape) - _escape_as_read(escape)) for escape, times in escapes.items())
    for number, times in Counter(_UNUSUAL_NUMBER.findall(rest)).items():
        size += times * (_number_as_read(number, what) - len(number))
    return size


def _escape_as_read(escape: bytes) -> int:
    """How many bytes jsonb writes for an escape in a string; half of a surrogate pair counts as half of its bytes."""
    if len(escape) == 2:
        return 1 if escape == b"\\/" else 2
    character = chr(int(escape[2:], base=16))  # noqa: FURB166 (what is before it is no prefix of a number)
    if character in '\b\t\n\f\r"\\' or "\ud800" <= character <= "\udfff":
        return 2
    return 6 if character < " " else len(character.encode())


def _number_as_read(number: bytes, what: str) -> int:
    """How many characters numeric writes for a number, with its exponent written out in full.

    Raises:
        BadInput: it has more digits than numeric can store.
    """
    mantissa, _, power = number.lower().partition(b"e")
    whole, _, fraction = mantissa.lstrip(b"-").partition(b".")
    # Drop leading zeros: a client may send thousands. Cutting an exponent to 40 digits never makes it small enough.
    exponent = int(power.lstrip(b"+-").lstrip(b"0")[:40] or b"0") * (-1 if power.startswith(b"-") else 1)
    after = max(0, len(fraction) - exponent)
    digits = (whole + fraction).lstrip(b"0")
    before = max(0, len(digits) - len(fraction) + exponent)
    if after > _DIGITS_AFTER or (digits and before > _DIGITS_BEFORE) or abs(exponent) > _EXPONENT_LIMIT:
        shown = number.decode() if len(number) <= 40 else f"{number[:37].decode()}..."
        raise BadInput(
            f"PostgreSQL cannot keep this: {what} has the number {shown}, which overflows; there may be "
            f"{_DIGITS_BEFORE:,} digits before the decimal point, and {_DIGITS_AFTER:,} after it"
        )
    is_negative = digits and mantissa.startswith(b"-")
    return bool(is_negative) + (max(1, before) if digits else 1) + (after + 1 if after else 0)


def _has_nul(value: Any) -> bool:
    # A stack, not recursion: a document may be nested more deeply than Python can recurse.
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if "\0" in item:
                return True
        elif isinstance(item, dict):
            stack.extend(item)
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    return False


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, list):
        return "an array"
    return "a string" if isinstance(value, str) else "a number"
