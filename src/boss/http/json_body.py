"""Small JSON bodies of administrators' requests, decoded into a type."""

import re
from enum import Enum
from typing import TypeVar, get_type_hints

import msgspec

from boss.errors import BadInput
from boss.http.request import Request

_MOST_BYTES = 64 * 1024

_T = TypeVar("_T")


async def read(request: Request, kind: type[_T], example: str) -> _T:
    """The request's body as a value of this type.

    Raises:
        BadInput: the body is no JSON of this type. The message says where, and shows `example`.
    """
    text = await request.body(_MOST_BYTES, "the body")
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise BadInput(f"the body does not match {example}: {_said(error, kind, text)}") from None
    except UnicodeDecodeError:
        raise BadInput(f"the body is not UTF-8; it takes JSON such as {example}") from None
    except RecursionError:
        raise BadInput(f"the body does not match {example}: it is nested too deeply") from None


# What msgspec calls the types of JSON, and what they are called here.
_NAMES = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "object": "an object",
    "str": "a string",
}
_TYPE = re.compile(rf"`({'|'.join(_NAMES)})( \| null)?`")


def _said(error: msgspec.DecodeError, kind: type[object], text: bytes) -> str:
    """What is wrong with the body, in the words of JSON."""
    if "truncated" in str(error):
        return "it ends too early" if text.strip() else "it is empty"
    said = _TYPE.sub(lambda found: f"{_NAMES[found[1]]}{' or null' if found[2] else ''}", str(error))
    field = re.search(r"at `\$\.(\w+)`$", said)
    values = get_type_hints(kind).get(field[1]) if field else None
    if isinstance(values, type) and issubclass(values, Enum):
        takes = " or ".join(f'"{each.value}"' for each in values)
        said += f"; it takes {takes}"
    return said
