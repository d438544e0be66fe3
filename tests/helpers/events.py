"""The events of the dashboard's feed."""

import json
from collections.abc import Iterator
from typing import Any

import httpx


def news(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
