"""NDJSON as a client reads it."""

import json
from typing import Any


def read_lines(text: str) -> list[dict[str, Any]]:
    """The objects, one on each line, and each line ends with a line feed.

    `str.splitlines` would also split at characters that a JSON string may contain, such as U+0085.
    """
    lines = text.split("\n")
    assert lines.pop() == ""
    return [json.loads(line) for line in lines]
