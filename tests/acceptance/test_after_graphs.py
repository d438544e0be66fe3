"""Whole graphs of jobs after other jobs, over several replicas, through crashes and beside the version before."""

import contextlib
import json
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.helpers.databases import value_in
from tests.helpers.lines import read_lines
from tests.helpers.ndjson import LINES
from tests.helpers.postgres import PostgresServer
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.versions import code_before

pytestmark = pytest.mark.slow

JOBS = 200
OUTCOMES = {"completed": 12, "failed": 1, "stopped": 1}

# How often a job was handed out before all were completed that it comes after.
EARLY = """
SELECT count(*)
FROM (SELECT after_ids, taken_at FROM job
      UNION ALL
      SELECT after_ids, (entry ->> 'taken')::timestamptz
      FROM job CROSS JOIN jsonb_array_elements(history) AS entry) AS attempt(after_ids, taken_at)
CROSS JOIN unnest(after_ids) AS named(id)
JOIN job USING (id)
WHERE outcome <> 'completed' AND attempt.taken_at IS NOT NULL OR attempt.taken_at < finished_at
"""


def graph(seed: int) -> dict[str, list[str]]:
    """Jobs by id, each with some of those before it."""
    chance = random.Random(seed)
    ids = [f"job-{number:03}" for number in range(JOBS)]
    return {id: chance.sample(ids[:number], chance.randint(0, min(number, 3))) for number, id in enumerate(ids)}


def outcomes(seed: int) -> dict[str, str]:
    """How the converter of each job ends it."""
    chance = random.Random(seed)
    ended = chance.choices(list(OUTCOMES), list(OUTCOMES.values()), k=JOBS)
    return {f"job-{number:03}": outcome for number, outcome in enumerate(ended)}


def asked(urls: list[str], method: str, path: str, **more: Any) -> httpx.Response:
    """Ask one replica after the other until one answers."""
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(httpx.TransportError):
            answer = httpx.request(method, random.choice(urls) + path, timeout=5, **more)
            if answer.status_code < 500:
                return answer
        assert time.monotonic() < deadline, path
        time.sleep(0.05)


class Work:
    """Submits a graph and does its jobs.

    Args:
        urls: the replicas.
        database: the URL of their database.
        seed: chooses the graph.
    """

    def __init__(self, urls: list[str], database: str, seed: int) -> None:
        self.urls, self.database = urls, database
        self.after, self.ends = graph(seed), outcomes(seed)
        self.over = threading.Event()

    def submit(self) -> None:
        for id, after in self.after.items():
            query = {"after": ",".join(after)} if after else {}
            answer = asked(self.urls, "POST", f"/job/available/freg/{id}", params=query, content="{}")
            assert answer.status_code in (201, 409), answer.text

    def convert(self) -> None:
        while not self.over.is_set():
            answer = asked(self.urls, "GET", "/job/available/freg?lease=3&wait=1")
            if answer.status_code == 404:
                continue
            id = answer.json()["id"]
            query, headers = {"outcome": self.ends[id]}, {"if-match": answer.headers["etag"]}
            asked(self.urls, "POST", f"/job/done/freg/{id}", params=query, headers=headers)

    def expected(self) -> dict[str, str]:
        """The outcome of each job, by the rule."""
        found: dict[str, str] = {}
        for id, after in self.after.items():
            found[id] = self.ends[id] if all(found[each] == "completed" for each in after) else "stopped"
        return found

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with ThreadPoolExecutor(9) as threads:
            try:
                working = [threads.submit(self.submit), *(threads.submit(self.convert) for _ in range(8))]
                yield
                working[0].result()
                until(self.all_done, self.open)
            finally:
                self.over.set()
        for each in working:
            each.result()

    def all_done(self) -> bool:
        done: bool = value_in(self.database, f"SELECT count(*) = {JOBS} FROM job WHERE status = 'DONE'")
        return done

    def more_done_than(self, jobs: int) -> bool:
        more: bool = value_in(self.database, f"SELECT count(*) > {jobs} FROM job WHERE status = 'DONE'")
        return more

    def open(self) -> str:
        return str(value_in(self.database, "SELECT json_agg(job)::text FROM ONLY job WHERE status <> 'DONE'"))

    def assert_right(self) -> None:
        assert value_in(self.database, EARLY) == 0
        found = "SELECT json_object_agg(id, outcome)::text FROM job"
        assert json.loads(value_in(self.database, found)) == self.expected()
        left = "SELECT (SELECT count(*) FROM dependency) + (SELECT count(*) FROM ended_job)"
        until(lambda: value_in(self.database, left) == 0)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_graph_is_done_in_its_order_through_crashes(database: str, seed: int) -> None:
    replicas = [BossProcess("--database", database) for _ in range(3)]
    try:
        work = Work([replica.wait_until_ready().url for replica in replicas], database, seed)
        with work.running():
            until(partial(work.more_done_than, JOBS // 4))
            replicas[0].kill()
            # As behind a load balancer: nobody is sent to it any more.
            work.urls.remove(replicas[0].url)
            until(partial(work.more_done_than, JOBS // 2))
            replicas[1].process.send_signal(signal.SIGSTOP)
            work.urls.remove(replicas[1].url)
        work.assert_right()
    finally:
        replicas[1].process.send_signal(signal.SIGCONT)
        for replica in replicas:
            replica.close()


def test_a_graph_is_done_in_its_order_through_restarts_of_the_database(server: PostgresServer) -> None:
    replicas = [BossProcess("--database", server.url) for _ in range(2)]
    try:
        work = Work([replica.wait_until_ready().url for replica in replicas], server.url, 3)
        with work.running():
            for share in (4, 2):
                until(partial(work.more_done_than, JOBS // share))
                server.kill()
                server.start()
        work.assert_right()
    finally:
        for replica in replicas:
            replica.close()


def submit_lines(client: httpx.Client, jobs: int, after: str) -> list[str]:
    answer = client.post(f"/job/available/freg?after={after}", content="{}\n" * jobs, headers=LINES)
    return [line["id"] for line in read_lines(answer.raise_for_status().text)]


def test_ten_thousand_jobs_after_one(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        client.post("/job/available/first/first", content="{}").raise_for_status()
        submit_lines(client, 10_000, "first")
        started = time.monotonic()
        client.post("/job/done/first/first").raise_for_status()
        ready = "SELECT count(*) FROM ONLY job WHERE status = 'AVAILABLE' AND due_at IS NULL"
        until(lambda: value_in(database, ready) == 10_000)
        with capsys.disabled():
            print(f"\n10,000 jobs after one are released after {time.monotonic() - started:.2f} s")


@pytest.mark.parametrize("outcome", ["completed", "failed"])
def test_a_chain_of_a_thousand(database: str, outcome: str, capsys: pytest.CaptureFixture[str]) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        client.post("/job/available/freg/0", content="{}").raise_for_status()
        for number in range(1, 1001):
            client.post(f"/job/available/freg/{number}?after={number - 1}", content="{}").raise_for_status()
        started = time.monotonic()
        if outcome == "failed":
            client.post("/job/done/freg/0?outcome=failed").raise_for_status()
            until(lambda: client.head("/job/done/freg/1000").status_code == 200)
        else:
            for number in range(1001):
                assert client.get("/job/available/freg?wait=50").json()["id"] == str(number)
                client.post(f"/job/done/freg/{number}").raise_for_status()
        with capsys.disabled():
            print(f"\na chain of 1,000, {outcome}: {time.monotonic() - started:.2f} s")
        counted = f"SELECT count(*) FROM job WHERE outcome = '{'stopped' if outcome == 'failed' else outcome}'"
        assert value_in(database, counted) == (1000 if outcome == "failed" else 1001)


def test_a_diamond(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        for id, after in (("top", ""), ("left", "top"), ("right", "top"), ("bottom", "left,right")):
            query = {"after": after} if after else {}
            client.post(f"/job/available/freg/{id}", params=query, content="{}").raise_for_status()
        got: list[str] = []
        while len(got) < 4:
            got.append(client.get("/job/available/freg?wait=50").json()["id"])
            client.post(f"/job/done/freg/{got[-1]}").raise_for_status()
        assert (got[0], sorted(got[1:3]), got[3]) == ("top", ["left", "right"], "bottom")


def test_the_version_before_keeps_to_it(previous: Path, database: str) -> None:
    """It does not hand out what waits, and what it finishes releases or stops what waits."""
    closing = contextlib.closing(BossProcess("--database", database, source=previous))
    both = boss_running("--database", database)
    with both as new, closing as old, new.client() as now, old.wait_until_ready().client() as before:
        for id in ("good", "bad"):
            before.post(f"/job/available/freg/{id}", content="{}").raise_for_status()
            now.post(f"/job/available/freg/after-{id}?after={id}", content="{}").raise_for_status()
        taken = [before.get("/job/available/freg").json()["id"] for _ in range(2)]
        assert sorted(taken) == ["bad", "good"]
        assert before.get("/job/available/freg").status_code == 404
        before.post("/job/done/freg/bad?outcome=failed").raise_for_status()
        before.post("/job/done/freg/good").raise_for_status()
        assert before.get("/job/available/freg?wait=50").json()["id"] == "after-good"
        assert now.get("/jobs/after-bad?wait=50").json()["outcome"] == "stopped"
        assert '"level":"error"' not in old.log + new.log


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The code of the commit before the migration."""
    return code_before("0016_after.sql", tmp_path)
