"""Other queues, measured beside Boss: each does the same work, with the durability that its name says.

`make bench-peers` installs them; those not installed are left out. Each program prints one line of JSON with the rates
of submits, of takes with completion, and of whole cycles. It prints that of cycles alone when asked to, and bunqueue's
program always does.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.servers import free_port, until

from bench.postgres import Postgres

FOLDER = Path(__file__).parent
PYTHON = FOLDER / ".venv" / "bin" / "python"
_NODE_MODULES = FOLDER / "node_modules"
_BUN = _NODE_MODULES / ".bin" / "bun"

Peers = dict[str, list[str]]


@contextlib.contextmanager
def peers_running(postgres: Postgres) -> Iterator[Peers]:
    """Start the peers' servers; yield the command that measures each, without its connections and seconds."""
    found: Peers = {}
    with contextlib.ExitStack() as running:
        folder = running.enter_context(tempfile.TemporaryDirectory(prefix="boss-bench-"))
        if PYTHON.exists() and shutil.which("beanstalkd"):
            durable = running.enter_context(_server("beanstalkd", "-b", folder, "-f0", "-p"))
            quick = running.enter_context(_server("beanstalkd", "-p"))
            program = [str(PYTHON), str(FOLDER / "beanstalkd.py")]
            found["beanstalkd, fsync"] = [*program, durable]
            found["beanstalkd, no durability"] = [*program, quick]
        if _NODE_MODULES.exists() and shutil.which("redis-server"):
            options = ["--dir", folder, "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
            port = running.enter_context(_server("redis-server", *options, "--port"))
            found["BullMQ, appendfsync always"] = ["node", str(FOLDER / "bullmq.mjs"), port]
        if _NODE_MODULES.exists():
            url = postgres.new_database("pgboss").replace("postgresql://", "postgres://")
            found["pg-boss"] = ["node", str(FOLDER / "pg-boss.mjs"), url]
        if PYTHON.exists():
            found["pgqueuer"] = [str(PYTHON), str(FOLDER / "pgqueuer_loops.py"), postgres.new_database("pgqueuer")]
        if _BUN.exists():
            # It demands a host, and then uses the socket all the same.
            url = postgres.new_database("bunqueue").replace("@/", "@localhost/").replace("?host=", "?path=")
            for name, where in (
                ("SQLite, no fsync", {"DATA_PATH": f"{folder}/bunqueue.db"}),
                ("PostgreSQL", {"BUNQUEUE_POSTGRES_URL": f"{url}/.s.PGSQL.5432"}),
            ):
                port = running.enter_context(_bunqueue(where))
                found[f"bunqueue over HTTP, {name}"] = [sys.executable, "-m", "bench.peers.bunqueue", port]
        yield found


@contextlib.contextmanager
def _bunqueue(where: dict[str, str]) -> Iterator[str]:
    """Start bunqueue's server with its data in this folder; yield the port of its HTTP API."""
    program = _NODE_MODULES / "bunqueue" / "dist" / "cli" / "index.js"
    options = ["start", "--host", "127.0.0.1", "--tcp-port", str(free_port()), "--http-port"]
    # By default it refuses a client after 10,000 requests a minute.
    environment = {**os.environ, "RATE_LIMIT_MAX_REQUESTS": "1000000000", "LOG_LEVEL": "error", **where}
    with _server(str(_BUN), str(program), *options, environment=environment) as port:
        yield port


def measure(command: list[str], connections: int, seconds: float, *only: str) -> dict[str, float]:
    """Run a peer's program; return its rates a second, some of them "cycle" only."""
    ran = subprocess.run([*command, str(connections), str(seconds), *only], capture_output=True, text=True)
    sys.stderr.write(ran.stderr)
    if ran.returncode:
        raise RuntimeError(f"{command[1]} failed")
    rates: dict[str, float] = json.loads(ran.stdout)
    return rates


@contextlib.contextmanager
def _server(*command: str, environment: dict[str, str] | None = None) -> Iterator[str]:
    """Start a server on a port of its own, the last argument; yield the port once something listens there."""
    port = free_port()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([*command, str(port)], stdout=quiet, stderr=quiet, env=environment)
    try:
        until(lambda: process.poll() is not None or _listens(port))
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}")
        yield str(port)
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
