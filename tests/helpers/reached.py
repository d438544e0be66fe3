"""A Boss for all tests of a module, over a database that they can reach."""

from collections.abc import Iterator

import pytest

from tests.helpers.databases import new_database
from tests.helpers.servers import BossProcess, boss_running


@pytest.fixture(scope="module")
def reached(postgres: str) -> Iterator[str]:
    """The URL of the database."""
    yield from new_database(postgres)


@pytest.fixture(scope="module")
def module_boss(reached: str) -> Iterator[BossProcess]:
    """The Boss, for the fixture `client`."""
    with boss_running("--database", reached) as boss:
        yield boss
