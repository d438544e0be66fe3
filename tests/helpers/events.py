"""The events of the dashboard's feed."""

import json
from collections.abc import Iterator
from typing import Any

import httpx


def news(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines():
        # The event `alive` has no news.
        if line.startswith("data: ") and line != "data: {}":
            yield json.loads(line.removeprefix("data: "))
