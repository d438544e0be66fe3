"""NDJSON as a client reads it."""

import json
from typing import Any


def read_lines(text: str) -> list[dict[str, Any]]:
    """The objects, one a line, each ended by a line feed.

    Not `str.splitlines`, which also splits at characters that may stand inside a JSON string, such as U+0085.
    """
    lines = text.split("\n")
    assert lines.pop() == ""
    return [json.loads(line) for line in lines]
