"""The queues that people use, measured beside Boss: each at the same work, with the durability that its name says.

`make bench-peers` installs them; what is not there is left out. Each program prints one line of JSON with the rates of
submits, of takes that are completed, and of whole cycles, one operation each.
"""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers import free_port

from bench.postgres import Postgres

FOLDER = Path(__file__).parent
_PYTHON = FOLDER / ".venv" / "bin" / "python"
_NODE_MODULES = FOLDER / "node_modules"

Peers = dict[str, list[str]]


@contextlib.contextmanager
def peers_running(postgres: Postgres) -> Iterator[Peers]:
    """The command that measures each peer, without its connections and seconds; their servers run meanwhile."""
    found: Peers = {}
    with contextlib.ExitStack() as running:
        folder = running.enter_context(tempfile.TemporaryDirectory(prefix="boss-bench-"))
        if _PYTHON.exists() and shutil.which("beanstalkd"):
            durable = running.enter_context(_server("beanstalkd", "-b", folder, "-f0", "-p"))
            quick = running.enter_context(_server("beanstalkd", "-p"))
            program = [str(_PYTHON), str(FOLDER / "beanstalkd.py")]
            found["beanstalkd, fsync"] = [*program, durable]
            found["beanstalkd, no durability"] = [*program, quick]
        if _NODE_MODULES.exists() and shutil.which("redis-server"):
            options = ["--dir", folder, "--appendonly", "yes", "--appendfsync", "always", "--save", ""]
            port = running.enter_context(_server("redis-server", *options, "--port"))
            found["BullMQ, appendfsync always"] = ["node", str(FOLDER / "bullmq.mjs"), port]
        if _NODE_MODULES.exists():
            url = postgres.new_database("pgboss").replace("postgresql://", "postgres://")
            found["pg-boss"] = ["node", str(FOLDER / "pg-boss.mjs"), url]
        if _PYTHON.exists():
            found["pgqueuer"] = [str(_PYTHON), str(FOLDER / "pgqueuer_loops.py"), postgres.new_database("pgqueuer")]
        yield found


def measure(command: list[str], connections: int, seconds: float) -> dict[str, float]:
    """Run a peer's program; return its rates a second."""
    ran = subprocess.run([*command, str(connections), str(seconds)], capture_output=True, text=True)
    sys.stderr.write(ran.stderr)
    if ran.returncode:
        raise RuntimeError(f"{command[1]} failed")
    rates: dict[str, float] = json.loads(ran.stdout)
    return rates


@contextlib.contextmanager
def _server(*command: str) -> Iterator[str]:
    """A server on a port of its own, the last argument; gives the port."""
    port = str(free_port())
    process = subprocess.Popen([*command, port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()
