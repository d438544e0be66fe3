"""A replica freezes in the middle of a take, at any point: the others go on."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.helpers.locks import transaction, waiting_for_locks
from tests.helpers.servers import boss_running

pytestmark = pytest.mark.slow

_MOST_SECONDS = 10


def take(client: httpx.Client, method: str, path: str, key: str | None) -> int:
    return client.request(method, path, headers={"idempotency-key": key} if key else {}).status_code


@pytest.mark.parametrize("key", [None, "key"])
@pytest.mark.parametrize(
    ("method", "path", "another"),
    [
        ("GET", "/job/available", ""),
        ("GET", "/job/available/free", ""),
        ("GET", "/job/available/ruled", ""),
        ("GET", "/job/available?fair=1", ""),
        ("POST", "/job/active/ruled/1", "/job/active/ruled/2"),
        ("POST", "/job/active/free/1", "/job/active/free/2"),
    ],
)
def test_no_lock_is_held_by_a_replica_that_is_stopped(
    database: str, method: str, path: str, another: str, key: str | None
) -> None:
    """It is stopped while its take waits for a lock, which then ends: what it has got hold of by then is let go."""
    with boss_running("--database", database) as frozen, boss_running("--database", database) as other:
        for replica in (frozen, other):
            with replica.client() as client:
                # Whoever is told knows it at once, the other one only within a second.
                assert client.put("/source/ruled", json={"limit": 100}).status_code == 200
        with other.client() as client:
            for source in ("ruled", "free"):
                for number in range(5):
                    client.post(f"/job/available/{source}/{number if source == 'ruled' else f'f{number}'}", json={})
        free = {"/job/active/free/1": "/job/active/free/f1", "/job/active/free/2": "/job/active/free/f2"}
        path, another = free.get(path, path), free.get(another, another)
        with frozen.client(timeout=60) as asking, ThreadPoolExecutor(1) as thread:
            with transaction(database, "LOCK TABLE job IN EXCLUSIVE MODE") as run:
                asked = thread.submit(take, asking, method, path, key)
                waiting_for_locks(database, 1)
                frozen.process.send_signal(signal.SIGSTOP)
                run("COMMIT")
            try:
                with other.client(timeout=60) as client:
                    started = time.monotonic()
                    assert take(client, method, another or path, key) == 200
                    assert time.monotonic() - started < _MOST_SECONDS
            finally:
                frozen.process.send_signal(signal.SIGCONT)
            assert asked.result() == 200
