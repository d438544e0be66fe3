"""A Boss that runs out of file descriptors: it recovers by itself once there are some again."""

import contextlib
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.helpers.certificates import certificate
from tests.helpers.servers import BossProcess, boss_running, postmaster, until

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def flooded(boss: BossProcess, most: int = 60) -> Iterator[None]:
    """A Boss that may have so few open files, with more connections than that."""
    psutil.Process(boss.process.pid).rlimit(psutil.RLIMIT_NOFILE, (most, most))
    with contextlib.ExitStack() as stack:
        for _ in range(3 * most):
            stack.enter_context(contextlib.closing(socket.create_connection(("127.0.0.1", boss.port))))
        until(lambda: "wait to be accepted" in boss.log or "Too many open files" in boss.log)
        yield


def is_live(url: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}/health/live", verify=context, timeout=2).is_success
    return False


def test_with_tls_it_serves_again(database: str, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "localhost")
    with boss_running("--database", database, "--tls-cert", str(cert), "--tls-key", str(key)) as boss:
        with flooded(boss):
            pass
        until(lambda: is_live(f"https://127.0.0.1:{boss.port}"))
        assert "Task exception was never retrieved" not in boss.log


def test_the_embedded_postgresql_is_still_seen_to(data: Path) -> None:
    with boss_running("--data", str(data)) as boss:
        with flooded(boss, 80):
            until(lambda: "cannot be checked or restarted" in boss.log or "wait to be accepted" in boss.log)
        until(lambda: is_live(boss.url))
        first = postmaster(data)
        psutil.Process(first).send_signal(signal.SIGKILL)
        until(lambda: httpx.get(f"{boss.url}/health/ready", timeout=20).is_success and postmaster(data) != first)


@pytest.mark.parametrize("spare", [0, 2])
def test_a_worker_is_started_again(database: str, spare: int) -> None:
    with boss_running("--database", database, "--workers", "2") as boss:
        parent = psutil.Process(boss.process.pid)
        most = parent.num_fds() + spare
        parent.rlimit(psutil.RLIMIT_NOFILE, (most, 4096))
        parent.children()[0].kill()
        until(lambda: "cannot be started" in boss.log)
        parent.rlimit(psutil.RLIMIT_NOFILE, (4096, 4096))
        until(lambda: boss.log.count("of this Boss serves as process") == 3)
        assert is_live(boss.url)
