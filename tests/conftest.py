"""Fixtures that tests share: one PostgreSQL for the session, and a database of its own for each test that wants one."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from boss.postgres.connection import Pool, connected
from boss.postgres.embedded import embedded_postgres
from boss.postgres.migrate import migrate
from tests.helpers.clock import Clock
from tests.helpers.databases import _numbers, new_database
from tests.helpers.postgres import PostgresServer
from tests.helpers.servers import BossProcess, boss_running


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL for the whole session: the one that Boss embeds."""
    # Not pytest's tmp_path: as root, PostgreSQL runs as another user, who has to reach the folder.
    with tempfile.TemporaryDirectory(prefix="boss-test-") as folder, asyncio.Runner() as runner:
        running = embedded_postgres(Path(folder))
        yield runner.run(running.__aenter__())
        runner.run(running.__aexit__(None, None, None))


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """The URL of an empty database for this test alone."""
    yield from new_database(postgres)


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder for this test alone."""
    # Not pytest's tmp_path: as root, PostgreSQL runs as another user, who has to reach the folder.
    with tempfile.TemporaryDirectory(prefix="boss-data-") as folder:
        yield Path(folder) / "a folder, new"
        for process in psutil.process_iter(["cmdline"]):
            if any(folder in part for part in process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


@pytest.fixture
def folder(postgres: str) -> Iterator[Path]:
    """An empty folder in which a PostgreSQL can run."""
    # Not pytest's tmp_path: as root, PostgreSQL runs as another user, who has to reach the folder.
    with tempfile.TemporaryDirectory(prefix="boss-faults-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def server(folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL for this test alone, to kill and to freeze. Unlike with Boss's own, nothing starts it again."""
    server = PostgresServer.new(folder / "server")
    yield server
    server.close()


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """A connection pool to a database with Boss's schema."""
    async with connected(database) as pool:
        await migrate(pool)
        yield pool


@pytest.fixture(scope="module")
def module_boss(postgres: str) -> Iterator[BossProcess]:
    """A Boss for all tests of a module, on a database of its own."""
    for url in new_database(postgres):
        with boss_running("--database", url) as boss:
            yield boss


@pytest.fixture(scope="module")
def clock(postgres: str) -> Iterator[Clock]:
    """A clock for the tests of a module, and a Boss that uses it."""
    for database in new_database(postgres):
        with Clock(database) as clock, boss_running("--database", database, "--lease", "600") as boss:
            clock.boss = boss
            yield clock


@pytest.fixture
def client(module_boss: BossProcess) -> Iterator[httpx.Client]:
    """A client of the module's Boss, which has no available jobs."""
    with module_boss.client() as client:
        while client.get("/job/available", params={"limit": 1000}).status_code == 200:
            pass
        yield client


@pytest.fixture
def source() -> str:
    """A source that no other test uses."""
    return f"source-{next(_numbers)}"
