"""Takes of one source with a limit do not wait for takes of another, and no limit is ever exceeded."""

import contextlib
import itertools
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import httpx
import pytest

from tests.helpers.limits import rule, until_known
from tests.helpers.locks import transaction, waiting_for_locks
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, boss_running, until

pytestmark = pytest.mark.slow

_MOST_SECONDS = 5.0
numbers = itertools.count(1)


@contextlib.contextmanager
def one_take_hangs(database: str, boss: BossProcess) -> Iterator[None]:
    """A take of the source `a` hangs on this replica, in a statement that holds the lock of the source."""
    with boss.client() as client, ThreadPoolExecutor(1) as thread:
        id = submit(client, "a")
        with transaction(database, f"SELECT FROM job WHERE id = '{id}' FOR UPDATE") as run:
            hanging = thread.submit(httpx.post, f"{boss.url}/job/active/a/{id}", timeout=60)
            waiting_for_locks(database, 1)
            yield
            assert not hanging.done()
            run("COMMIT")
        assert hanging.result().status_code == 200


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(
    "path",
    ["/job/available/b", "/job/available/b?limit=2", "/job/available", "/job/available?fair=1", "/job/available/a,b"],
)
@pytest.mark.parametrize("key", [False, True])
def test_others_go_on_while_one_hangs(database: str, path: str, key: bool, same: bool) -> None:
    with boss_running("--database", database) as one, boss_running("--database", database) as other:
        asked = one if same else other
        with one.client() as setting, asked.client(timeout=60) as client:
            rule(setting, "a", limit=5)
            rule(setting, "b", limit=5)
            until_known(setting, client)
            with one_take_hangs(database, one):
                for _ in range(3):
                    submit(client, "b")
                    started = time.monotonic()
                    headers = {"idempotency-key": f"key-{next(numbers)}"} if key else {}
                    taken = client.get(path, headers=headers)
                    assert taken.status_code == 200, taken.text
                    assert time.monotonic() - started < _MOST_SECONDS
                assert client.post(f"/job/active/b/{submit(client, 'b')}").status_code == 200
                # Its rule can be changed, too.
                rule(client, "b", limit=6)
                assert time.monotonic() - started < 2 * _MOST_SECONDS


def test_a_take_of_any_source_gets_the_job_when_the_other_take_is_over(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client, ThreadPoolExecutor(1) as thread:
        rule(client, "a", limit=5)
        until_known(client)
        with one_take_hangs(database, boss):
            submit(client, "a")
            asked = thread.submit(httpx.get, f"{boss.url}/job/available", timeout=60)
            time.sleep(0.5)
            assert not asked.done()
        assert asked.result().json()["source"] == "a"


def test_no_limit_is_exceeded_by_many_replicas_one_of_which_is_killed_again_and_again(database: str) -> None:
    """Counted in samples while it goes on, and by the history afterwards."""
    limits = {f"source-{number}": number for number in range(1, 6)}
    jobs = 60
    replicas = [boss_running("--database", database, "--lease", "5") for _ in range(3)]
    with contextlib.ExitStack() as running:
        one, other, killed = [running.enter_context(each) for each in replicas]
        client = running.enter_context(one.client(timeout=60))
        for source, limit in limits.items():
            rule(client, source, limit=limit)
        with other.client() as second, killed.client() as third:
            until_known(client, second, third)
        for source in limits:
            lines = "{}\n" * jobs
            client.post(
                f"/job/available/{source}?attempts=1000",
                content=lines,
                headers={"content-type": "application/x-ndjson"},
            ).raise_for_status()
        over: list[tuple[str, int]] = []
        samples, stop = 0, threading.Event()
        urls = [one.url, other.url, killed.url]

        def work(number: int) -> None:
            path = ("", "?fair=1", *(f"/{source}" for source in limits))[number % 7]
            while not stop.is_set():
                with contextlib.suppress(httpx.TransportError), httpx.Client(timeout=60) as taker:
                    url = urls[number % 3]
                    taken = taker.get(f"{url}/job/available{path}")
                    if taken.status_code == 200:
                        job = taken.json()
                        time.sleep(random.uniform(0, 0.02))
                        taker.post(f"{url}/job/done/{job['source']}/{job['id']}")
                    else:
                        time.sleep(0.02)

        def sample() -> None:
            nonlocal samples
            with one.client(timeout=60) as looking:
                while not stop.is_set():
                    active = looking.get("/job").json()["active"]
                    over.extend((source, count) for source, count in active.items() if count > limits[source])
                    samples += 1

        with ThreadPoolExecutor(97) as threads:
            working = [threads.submit(work, number) for number in range(96)]
            sampling = threads.submit(sample)
            try:
                until(lambda: _done(client) > 50)
                killed.process.send_signal(signal.SIGKILL)
                again = running.enter_context(boss_running("--database", database, "--lease", "5"))
                urls[2] = again.url
                until(lambda: _done(client) == jobs * len(limits))
            finally:
                stop.set()
            for each in [*working, sampling]:
                each.result()
        assert over == []
        assert samples > 20
        for source, limit in limits.items():
            assert _most_at_once(client, source) <= limit


def _done(client: httpx.Client) -> int:
    return sum(client.get("/job").json()["done"].values())


def _most_at_once(client: httpx.Client, source: str) -> int:
    """How many attempts at jobs of this source overlapped, by the times of their takes and ends."""
    moments: list[tuple[datetime, int]] = []
    found = client.get(f"/jobs?source={source}&state=done&limit=1000").json()["jobs"]
    for job in found:
        attempts = [(each["taken"], each["ended"]) for each in job["history"]]
        for taken, ended in [*attempts, (job["taken"], job["finished"])]:
            moments += [(datetime.fromisoformat(taken), 1), (datetime.fromisoformat(ended), -1)]
    return max(itertools.accumulate(change for _, change in sorted(moments)))
