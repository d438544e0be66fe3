"""Fixtures that tests share: one PostgreSQL for the session, and a database of its own for each test that wants one."""

import asyncio
import contextlib
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from boss.postgres.connection import Pool, connected
from boss.postgres.embedded import embedded_postgres
from tests.helpers.clock import Clock
from tests.helpers.databases import _numbers, empty_database, new_database
from tests.helpers.leftovers import OF_TESTS, SESSION_FOLDER, end_processes_of_tests
from tests.helpers.postgres import OLDEST_PROGRAMS, PostgresServer
from tests.helpers.servers import BossProcess, boss_running
from tests.helpers.temporary import keep_files_in_memory

# Tests talk to this machine alone, and with certificates of their own. To read the system's takes 19 ms of the
# processor, which every client of httpx does, and every process that imports aiohttp. This folder has none.
os.environ["SSL_CERT_FILE"] = ""
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)
keep_files_in_memory()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes `pytest -n auto` starts: more than there are cores, for many tests wait most of the time."""
    return 3 * (os.cpu_count() or 1)


@pytest.hookimpl(trylast=True)  # once it is known which tests run
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Share the long tests out and begin with them: one that began last would run alone at the end.

    xdist gives each of its processes as many tests as the others, in order, and moves some when one has none left.
    """
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    long = [item for item in items if item.get_closest_marker("long")]
    others = iter([item for item in items if not item.get_closest_marker("long")])
    # Those of a module stay together, for what it shares may take long to set up.
    modules = [list(of_module) for _, of_module in itertools.groupby(long, key=lambda item: item.path)]
    shares = [list(itertools.chain(*modules[number::processes])) for number in range(processes)]
    size, more = divmod(len(items), processes)
    for number, share in enumerate(shares):
        # xdist rounds down first: the last processes get one more.
        share += itertools.islice(others, max(0, size + (number >= processes - more) - len(share)))
    items[:] = [item for share in shares for item in share] + list(others)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests that are marked `every_postgres` with the oldest PostgreSQL as well."""
    if metafunc.definition.get_closest_marker("every_postgres") and "postgres" in metafunc.fixturenames:
        oldest = pytest.param("oldest", marks=pytest.mark.slow)
        metafunc.parametrize("postgres", ["embedded", oldest], indirect=True, scope="session")


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a PostgreSQL for the whole session: the one that Boss embeds, or Debian's when that is asked for."""
    # Not pytest's tmp_path: as root, PostgreSQL runs as another user, who has to reach the folder.
    with tempfile.TemporaryDirectory(prefix=SESSION_FOLDER) as folder:
        if getattr(request, "param", "embedded") == "oldest":
            yield from oldest_postgres(Path(folder))
        else:
            yield from embedded(Path(folder))


def embedded(folder: Path) -> Iterator[str]:
    with asyncio.Runner() as runner:
        running = embedded_postgres(folder)
        yield runner.run(running.__aenter__())
        runner.run(running.__aexit__(None, None, None))


def oldest_postgres(folder: Path) -> Iterator[str]:
    if not OLDEST_PROGRAMS.is_dir():
        pytest.skip("PostgreSQL 15 (Debian's package postgresql-15) is not installed here")
    folder.chmod(0o755)
    server = PostgresServer.new(folder / "server", OLDEST_PROGRAMS)
    yield f"{server.url}?"
    server.close()


@pytest.fixture(scope="module", autouse=True)
def no_process_left() -> Iterator[None]:
    """Kill the processes that a module's tests have left behind, and fail for them."""
    os.environ[OF_TESTS] = str(os.getpid())
    yield
    if left := end_processes_of_tests():
        pytest.fail(f"these were left behind: {left}")


@pytest.fixture
def database(postgres: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database for this test alone, with Boss's schema and no jobs, or without when marked so."""
    without_schema = request.node.get_closest_marker("without_schema")
    yield from empty_database(postgres) if without_schema else new_database(postgres)


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
    """A connection pool to this test's database."""
    async with connected(database) as pool:
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
    for database in empty_database(postgres):
        with Clock(database) as clock, boss_running("--database", database, "--lease", "600") as boss:
            clock.boss = boss
            yield clock


@pytest.fixture
def client(module_boss: BossProcess) -> Iterator[httpx.Client]:
    """A client of the module's Boss, which has no available jobs."""
    with module_boss.client() as client:
        while client.get("/job/available", params={"limit": 1000}).status_code == 200:
            pass
        # What is left is delayed, and would be handed out later.
        for job in client.get("/jobs", params={"state": "available", "limit": 1000}).json()["jobs"]:
            client.post(f"/job/done/{job['source']}/{job['id']}")
        yield client


@pytest.fixture
def source() -> str:
    """A source that no other test uses."""
    return f"source-{next(_numbers)}"
