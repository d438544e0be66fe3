"""Tokens, and a Boss that needs them."""

import json
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.helpers.servers import BossProcess

API = json.loads((Path(__file__).parents[2] / "src/boss/http/openapi.json").read_text())


class Guarded(NamedTuple):
    """A Boss with tokens: each by its name."""

    boss: BossProcess
    tokens: dict[str, str]

    def client(self, who: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.tokens[who]}"} if who else {}
        return httpx.Client(base_url=self.boss.url, headers=headers, timeout=30)


def create(client: httpx.Client, name: str, role: str, **more: object) -> str:
    answer = client.post(f"/token/{name}", json={"role": role, **more})
    assert answer.status_code == 201, answer.text
    token: str = answer.json()["token"]
    return token


def waiting_takers(client: httpx.Client) -> int:
    [line] = [line for line in client.get("/metrics").text.splitlines() if line.startswith("boss_waiting_takers ")]
    return int(float(line.split()[1]))
