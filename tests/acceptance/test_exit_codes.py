"""Every exit code, which scripts may rely on, from real processes."""

import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from boss.cli.exit_codes import MEANINGS
from tests.helpers.commands import Boss
from tests.helpers.postgres import PostgresServer
from tests.helpers.requests import submit
from tests.helpers.servers import PATIENCE, BossProcess, boss_running, free_port, until

pytestmark = pytest.mark.slow


@pytest.fixture
def boss(module_boss: BossProcess) -> Boss:
    return Boss(module_boss.url)


def test_0_and_1(boss: Boss, client: httpx.Client, source: str) -> None:
    assert boss("tree").returncode == 0
    id = submit(client, source)
    assert boss("submit", source, id, stdin="{}").returncode == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["-h"], 0),
        (["check", "-h"], 0),
        (["token", "create", "-h"], 0),
        (["--version"], 0),
        ([], 2),
        (["chek", "freg", "monday"], 2),
        (["check", "freg"], 2),
        (["check", "freg", "monday", "--atempt", "1"], 2),
        (["check", "freg", "monday", "--attempt", "first"], 2),
        (["check", "freg", "monday", "--url", "localhost"], 2),
        (["check", "freg", "monday", "--url", "ftp://localhost"], 2),
        (["check", "freg", "monday", "--url", "http://localhost:99999"], 2),
        (["submit", "freg", "no-such-file.json"], 2),
        (["submit", "freg"], 2),
        (["jobs", "--state", "actve"], 2),
        (["done", "freg", "monday", "--outcome", "compleetd"], 2),
        (["done", "freg", "monday", "no json"], 2),
        (["note", "freg", "monday"], 2),
        (["note", "freg", "monday", "no json"], 2),
        (["work"], 2),
        (["work", "--", "no-such-program"], 2),
        (["stop"], 2),
        (["submit", "freg", "--attempts", "0"], 2),
        (["submit", "freg", "--delay", "-5"], 2),
        (["submit", "freg", "--delay", "inf"], 2),
        (["submit", "freg", "--priority", "1001"], 2),
        (["submit", "fr eg"], 2),
        (["submit", "fr eg", "-", "--lines"], 2),
        (["take", "freg,"], 2),
        (["take", "freg", "--lease", "-5"], 2),
        (["take", "freg", "--wait", "-1"], 2),
        (["take", "freg", "--wait", "inf"], 2),
        (["take", "freg", "--wait", "nan"], 2),
        (["check", "fr eg", "monday"], 2),
        (["done", "freg", "mon day"], 2),
        (["give-back", "freg", "monday", "--delay", "-1"], 2),
        (["stop", "fr eg", "monday"], 2),
        (["source", "fr eg", "--paused"], 2),
        (["jobs", "--source", "fr eg"], 2),
        (["token", "create", "a b", "--role", "admin"], 2),
        (["token", "create", "a", "--role", "converter", "--source", "fr eg"], 2),
        (["work", "fr eg", "--", "cat"], 2),
        (["work", "freg", "--lease", "100000000", "--", "cat"], 2),
        (["check", "freg", "nothing"], 3),
        (["note", "freg", "nothing", "{}"], 3),
        (["done", "freg", "nothing"], 3),
        (["give-back", "freg", "nothing"], 3),
        (["stop", "freg", "nothing"], 3),
        (["show", "nothing"], 3),
        (["take", "nothing"], 3),
        (["jobs", "--source", "nothing"], 3),
        (["source", "nothing"], 3),
        (["stop", "--source", "nothing", "--yes"], 3),
        (["token", "revoke", "nothing"], 3),
    ],
)
def test_those_that_need_no_trouble(boss: Boss, words: list[str], code: int) -> None:
    said = boss(*words, stdin="" if words == ["submit", "freg"] else "{}")
    assert said.returncode == code
    assert "Traceback" not in said.stderr


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The URL of a proxy that has nobody behind it, and answers this to everything."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Proxy) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (502, 75, "it answers 502"),
        (503, 75, "it answers 503"),
        (504, 75, "it answers 504"),
        (404, 1, "answers 404. Is it a Boss?"),
        (302, 1, "answers 302. Is it a Boss?"),
    ],
)
def test_what_a_proxy_answers(status: int, code: int, says: str) -> None:
    with answering(status) as url:
        said = Boss(url)("tree")
    assert says in said.stderr
    assert (said.returncode, said.stderr.count("\n")) == (code, 1)


def test_75_when_nobody_is_there() -> None:
    assert Boss(f"http://127.0.0.1:{free_port()}")("tree").returncode == 75
    assert Boss("http://no-such-host.invalid")("tree").returncode == 75


def test_2_for_a_result_that_cannot_be(boss: Boss, client: httpx.Client, source: str) -> None:
    id = submit(client, source)
    client.get(f"/job/available/{source}")
    for result in ('{"n": NaN}', '{"n": 1e400000}', '{"nul": "\\u0000"}'):
        said = boss("done", source, id, result)
        assert (said.returncode, said.stderr.count("\n")) == (2, 1)


def test_2_for_a_line_that_boss_refuses(boss: Boss, source: str) -> None:
    said = boss("submit", source, "--lines", stdin='{"nul": "\\u0000"}\n')
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--database", "mysql://x/y"], 2),
        (["--database", "postgresql://127.0.0.1/boss?sslmode=banana"], 2),
        (["--database", "postgresql://127.0.0.1:1/boss"], 75),
        (["--database-file", "/nothere"], 2),
        (["--data", "/etc/passwd"], 2),
        (["--tls-cert", "/etc/passwd", "--tls-key", "/etc/passwd"], 2),
        (["--host", "no-such-host.invalid"], 2),
        (["--host", "192.0.2.1"], 2),
    ],
)
def test_a_server_that_cannot_start(database: str, flags: list[str], code: int) -> None:
    where = [] if flags[0].startswith("--data") else ["--database", database]
    assert Boss("")("serve", "--port", str(free_port()), "--quiet", *where, *flags).returncode == code


def test_1_for_a_database_that_does_not_let_boss_in(database: str) -> None:
    assert Boss("")("migrate", "--database", database.replace("/test_", "/no_test_")).returncode == 1


def test_77_and_75_with_tokens(database: str) -> None:
    with boss_running("--database", database, "--rate", "1") as running:
        boss = Boss(running.url)
        root = boss("token", "create", "root", "--role", "admin").stdout.strip()
        refused = boss("tree")
        assert (refused.returncode, refused.stderr.count("\n")) == (77, 1)
        # A HEAD has no words of its own.
        assert boss("check", "freg", "monday").returncode == 77
        assert boss("tree", "--token", "none").returncode == 77
        assert boss("tree", "--token", "я").returncode == 77
        boss.environment["BOSS_TOKEN"] = root
        until(lambda: boss("tree").returncode == 0)
        with asking_all_the_time(running, root):
            until(lambda: "more than 1 requests a second" in boss("tree").stderr)
            until(lambda: boss("tree").returncode == 75)


@contextmanager
def asking_all_the_time(boss: BossProcess, token: str) -> Iterator[None]:
    """Use up what the token may ask in a second. Commands alone may take longer than that, and are not too many."""
    over = Event()

    def ask() -> None:
        with boss.client() as client:
            while not over.is_set():
                client.get("/job", headers={"authorization": f"Bearer {token}"})

    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(ask)
        try:
            yield
        finally:
            over.set()
        asking.result()


def test_75_when_its_database_is_away(server: PostgresServer) -> None:
    with boss_running("--database", server.url) as running:
        boss = Boss(running.url)
        assert boss("tree").returncode == 0
        server.kill()
        said = boss("tree")
        assert (said.returncode, said.stderr) == (
            75,
            "boss: the database is away; send the request again in a moment\n",
        )


def test_130_when_interrupted(boss: Boss, client: httpx.Client, source: str) -> None:
    waiting = boss.start("take", source, "--wait", "600")
    until(lambda: "boss_waiting_takers 1.0" in client.get("/metrics").text)
    waiting.send_signal(signal.SIGINT)
    _, said = waiting.communicate(timeout=PATIENCE)
    assert (waiting.returncode, said) == (130, "")


def test_they_are_where_people_look(boss: Boss) -> None:
    assert sorted(MEANINGS) == [0, 1, 2, 3, 75, 77, 130, 141]
    shown = boss("--help").stdout
    readme = Path(__file__).parents[2].joinpath("README.md").read_text()
    for code, meaning in MEANINGS.items():
        assert re.search(rf"(?m)^ +{code}  {re.escape(meaning)}$", shown)
        assert f"| {code} | {meaning} |" in readme
