"""Small JSON bodies of administrators' requests, decoded into a type."""

from typing import TypeVar

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
        raise BadInput(f"the body is not as {example}: {error}") from None
    except UnicodeDecodeError:
        raise BadInput(f"the body is not UTF-8, as {example} is") from None
    except RecursionError:
        raise BadInput(f"the body is not as {example}: it is nested too deeply") from None
