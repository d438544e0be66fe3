"""What can be a job's document or result: a JSON object that PostgreSQL's jsonb can keep. Pure.

The text is checked here once and then passed through; nothing ever serialises it again.
"""

import json
from typing import Any, NoReturn

import orjson

from boss.errors import BadInput


def check_object(body: bytes, what: str) -> str:
    """The text of a JSON object, unchanged but for white space around it.

    Args:
        body: the bytes as sent.
        what: what an error's sentence calls it, for instance "the document".

    Raises:
        BadInput: it is not UTF-8, not JSON, not an object, or has a NUL character.
    """
    try:
        text = body.decode().strip(" \t\r\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"{what} is not UTF-8: {error.reason} at byte {error.start}") from None
    if not text:
        raise BadInput(f"{what} is empty; send a JSON object such as {{}}")
    value = _parse(text, what)
    if not isinstance(value, dict):
        raise BadInput(f"{what} is {_kind(value)}; send a JSON object such as {{}}")
    # The escape is looked for first, since almost no text has it.
    if "\\u0000" in text and _has_nul(value):
        raise BadInput(f"{what} has a NUL character (\\u0000) in a string, which cannot be kept")
    return text


def _parse(text: str, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "infinity" in error.msg:
            return _parse_any_number(text, what)
        raise BadInput(f"{what} is not JSON: {error}") from None


def _parse_any_number(text: str, what: str) -> Any:
    """The slow parser, for numbers past the range of a double: jsonb keeps them, orjson cannot."""

    def refuse(word: str) -> NoReturn:
        raise ValueError(f"{word} is not a JSON value")

    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{what} is not JSON: {error}") from None


def _has_nul(value: Any) -> bool:
    # A stack, not recursion: a document may be nested deeper than Python recurses.
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
