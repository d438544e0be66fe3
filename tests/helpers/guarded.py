"""A Boss with a token of each kind."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.helpers.databases import new_database
from tests.helpers.servers import boss_running, until
from tests.helpers.tokens import Guarded, create


class Who(NamedTuple):
    """A token of the fixture, by its name."""

    name: str
    role: str | None
    sources: tuple[str, ...] | None = None


TOKENS = [
    Who("root", "admin"),
    Who("converts", "converter"),
    Who("converts-freg", "converter", ("freg",)),
    Who("converts-two", "converter", ("freg", "sirius")),
    Who("submits", "submitter"),
    Who("submits-freg", "submitter", ("freg",)),
]
NO_TOKENS = [Who("", None), Who("unknown", None), Who("revoked", None), Who("expired", None)]


@pytest.fixture(scope="module")
def guarded(postgres: str) -> Iterator[Guarded]:
    for url in new_database(postgres):
        with boss_running("--database", url) as boss:
            guarded = Guarded(boss, {"unknown": "boss_" + "x" * 43})
            with boss.client() as client:
                guarded.tokens["root"] = create(client, "root", "admin")
            with guarded.client("root") as client:
                for who in [*TOKENS[1:], Who("revoked", "admin"), Who("expired", "admin")]:
                    more = {"expires": 0.1} if who.name == "expired" else {}
                    guarded.tokens[who.name] = create(client, who.name, who.role or "", sources=who.sources, **more)
                assert client.delete("/token/revoked").status_code == 204
            with guarded.client("expired") as expired:
                until(lambda: expired.get("/job").status_code == 401)
            yield guarded
