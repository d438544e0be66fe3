"""A rolling upgrade and a backup, both under load."""

import asyncio
import contextlib
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from boss.postgres.migrate import migrations
from tests.helpers.databases import empty_database, run_in, value_in
from tests.helpers.load import Load, every_job, open_jobs
from tests.helpers.postgres import PROGRAMS
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.versions import code_before

pytestmark = [pytest.mark.slow, pytest.mark.without_schema]

NEWEST = migrations()[-1][1]
# The newest that has to wait for whoever reads the table of jobs. To set its storage parameters waits for vacuums only.
WAITS = next(name for _, name, script in reversed(migrations()) if re.search(r"ALTER TABLE job(?! SET \()", script))

COUNTED = "(SELECT source, status, sum(jobs) FROM tally GROUP BY 1, 2 HAVING sum(jobs) <> 0)"
FOUND = "(SELECT source, status, count(*) FROM job GROUP BY 1, 2)"


@pytest.fixture(params=sorted({NEWEST, WAITS}))
def migration(request: pytest.FixtureRequest) -> str:
    """The file of a migration."""
    return str(request.param)


@pytest.fixture
def previous(tmp_path: Path, migration: str) -> Path:
    """The code of the commit before the one that added the migration."""
    return code_before(migration, tmp_path)


@contextlib.contextmanager
def under_load(urls: list[str]) -> Iterator[Load]:
    load = Load(urls)
    with ThreadPoolExecutor(6) as threads:
        working = [threads.submit(work) for work in [load.submit] * 2 + [load.convert] * 4]
        try:
            yield load
        finally:
            load.over.set()
        for each in working:
            each.result()


def test_the_version_before_and_this_one_serve_side_by_side(previous: Path, migration: str, database: str) -> None:
    """One migration is held up by a long transaction, too, as pg_dump has one, and nobody else waits for it."""
    old = [BossProcess("--database", database, source=previous) for _ in range(2)]
    new: list[BossProcess] = []
    try:
        for replica in old:
            replica.wait_until_ready()
        assert migration not in "".join(replica.log for replica in old)
        urls = [replica.url for replica in old]
        with under_load(urls) as load:
            some_more(load)
            with long_transaction(database):
                new.append(BossProcess("--database", database))
                if migration == WAITS:
                    new[0].wait_for_log("waits for a long transaction")
                some_more(load)
            new[0].wait_until_ready()
            urls.append(new[0].url)
            some_more(load)
            new.append(BossProcess("--database", database).wait_until_ready())
            urls.append(new[1].url)
            some_more(load)
            for replica in old:
                # As behind a load balancer: first nobody is sent to it any more, then it is told to stop.
                urls.remove(replica.url)
                some_more(load)
                assert replica.terminate() == 0
            some_more(load)
        assert load.failed == []
        assert {status for status in load.statuses if status >= 500} <= {503}
        assert load.statuses[503] == 0
        until(lambda: not value_in(database, "SELECT count(*) FROM ONLY job WHERE status = 'DONE'"))
        with new[0].client() as client:
            until(lambda: not load.convert_one("/job/available?lease=3") and not open_jobs(client))
            assert_nothing_is_lost(load, {str(job["id"]): job for job in every_job(client)})
        for replica in (*old, *new):
            assert '"level":"error"' not in replica.log
    finally:
        for replica in (*old, *new):
            replica.close()


def test_the_version_before_knows_the_jobs_that_this_one_has_moved(previous: Path, database: str) -> None:
    closing = contextlib.closing(BossProcess("--database", database, source=previous))
    with closing as old, old.wait_until_ready().client() as before:
        for id in ("a", "b", "c", "d"):
            before.post(f"/job/available/freg/{id}", content="{}").raise_for_status()
        before.post("/job/done/freg/a").raise_for_status()
        with boss_running("--database", database) as new, new.client() as now:
            now.post("/job/done/freg/b").raise_for_status()
            until(lambda: not value_in(database, "SELECT count(*) FROM ONLY job WHERE status = 'DONE'"))
            for id in ("a", "b"):
                for client in (before, now):
                    assert client.get(f"/jobs/{id}").json()["state"] == "done"
                    assert client.post(f"/job/available/freg/{id}", content="{}").status_code == 409
                    assert client.post(f"/job/done/freg/{id}").status_code == 404
                    assert client.head(f"/job/active/freg/{id}").headers["boss-state"] == "done"
            # Each finishes what the other has taken.
            for one, other in ((before, now), (now, before)):
                taken = one.get("/job/available/freg").raise_for_status().json()
                other.post(f"/job/done/freg/{taken['id']}").raise_for_status()
            for client in (before, now):
                assert client.get("/job").json()["done"] == {"freg": 4}
                assert [job["id"] for job in client.get("/jobs?state=done").json()["jobs"]] == ["d", "c", "b", "a"]
            assert before.delete("/job/done?older=0").json()["deleted"] == 4
            assert now.get("/jobs").json()["jobs"] == []
            assert '"level":"error"' not in old.log + new.log


def test_replicas_of_both_versions_are_killed_under_load(previous: Path, database: str) -> None:
    sources = (previous, None)
    replicas = [BossProcess("--database", database, source=source) for source in sources]
    try:
        urls = [replica.wait_until_ready().url for replica in replicas]
        with under_load(urls) as load:
            for turn in range(6):
                some_more(load)
                killed = turn % 2
                replicas[killed].kill()
                replicas[killed] = BossProcess("--database", database, source=sources[killed])
                urls[killed] = replicas[killed].wait_until_ready().url
            some_more(load)
        with replicas[1].client() as client:
            until(lambda: not load.convert_one("/job/available?lease=3") and not open_jobs(client))
            jobs = list(every_job(client))
        assert len({job["id"] for job in jobs}) == len(jobs)
        assert_nothing_is_lost(load, {str(job["id"]): job for job in jobs})
        assert load.statuses[500] == 0
        run_in(database, f"DO $$ BEGIN ASSERT NOT EXISTS ({COUNTED} EXCEPT {FOUND}); END $$")
        run_in(database, f"DO $$ BEGIN ASSERT NOT EXISTS ({FOUND} EXCEPT {COUNTED}); END $$")
    finally:
        for replica in replicas:
            replica.close()


def some_more(load: Load) -> None:
    """Wait until more jobs were submitted, and more were done."""
    submitted, done = len(load.submitted), len(load.done)
    until(lambda: len(load.submitted) > submitted + 20 and len(load.done) > done + 20)


def assert_nothing_is_lost(load: Load, jobs: dict[str, dict[str, object]]) -> None:
    assert load.submitted <= jobs.keys()
    assert load.done <= {id for id, job in jobs.items() if job["outcome"] == "completed"}
    assert [each for each, times in load.taken.items() if times > 1] == []


@contextlib.contextmanager
def long_transaction(database: str) -> Iterator[None]:
    """One that reads the tables and then does nothing for long."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(database))
        runner.run(connection.execute("BEGIN; SELECT FROM job LIMIT 1; SELECT FROM tally LIMIT 1"))
        yield
        runner.run(connection.execute("COMMIT"))
        runner.run(connection.close())


def test_a_backup_under_load_is_one_moment_and_serves(database: str, postgres: str, tmp_path: Path) -> None:
    with boss_running("--database", database) as boss, under_load([boss.url]) as load:
        some_more(load)
        submitted, done = set(load.submitted), set(load.done)
        subprocess.run([PROGRAMS / "pg_dump", database, "-Fc", "-f", tmp_path / "dump"], check=True)
        assert not load.over.is_set()
        some_more(load)
        assert load.failed == []
        assert load.statuses[503] == 0
    for restored in empty_database(postgres):
        subprocess.run([PROGRAMS / "pg_restore", "-d", restored, tmp_path / "dump"], check=True)
        for one, other in ((COUNTED, FOUND), (FOUND, COUNTED)):
            run_in(restored, f"DO $$ BEGIN ASSERT NOT EXISTS ({one} EXCEPT {other}); END $$")
        with boss_running("--database", restored) as boss, boss.client() as client:
            jobs = {str(job["id"]): job for job in every_job(client)}
            assert submitted <= jobs.keys()
            assert done <= {id for id, job in jobs.items() if job["outcome"] == "completed"}
            # What was active in that moment comes back by its lease.
            work_off(boss)


def work_off(boss: BossProcess) -> None:
    """Convert whatever there is, each attempt once."""
    load = Load([boss.url])
    with boss.client() as client:
        until(lambda: not load.convert_one("/job/available?lease=3") and not open_jobs(client))
    assert [each for each, times in load.taken.items() if times > 1] == []
