"""Audit events: every action has its event, whatever happens meanwhile, because both are in one transaction."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from boss.model.job import State
from tests.helpers.databases import run_in, value_in
from tests.helpers.servers import BossProcess, boss_running, until

pytestmark = pytest.mark.slow

JOBS = 6000
# Each takes its time to go.
OLD_JOBS = f"""
INSERT INTO job (id, status, source, document, attempt, finished_at)
SELECT 'old-' || n, 'DONE', 'freg', '{{}}', 1, now() - interval '1 hour' FROM generate_series(1, {JOBS}) AS n;
CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.0015); RETURN OLD; END $$;
CREATE TRIGGER slowly BEFORE DELETE ON job FOR EACH ROW EXECUTE FUNCTION slowly()
"""
LEFT = "SELECT count(*) FROM job"
# What is gone, and what the record says is gone, at one moment.
UNRECORDED = f"""
SELECT {JOBS} - (SELECT count(*) FROM job)
    - (SELECT coalesce(sum((what->>'jobs')::int), 0) FROM act WHERE did = 'pruned')
"""


@pytest.fixture
def slow(database: str) -> str:
    """A database full of old jobs that go slowly."""
    with boss_running("--database", database):
        pass
    run_in(database, OLD_JOBS)
    return database


def test_a_prune_that_is_killed_midway_has_left_its_trace(slow: str) -> None:
    with ThreadPoolExecutor(1) as thread, boss_running("--database", slow) as boss:
        asked = thread.submit(prune, boss)
        until(lambda: bool(value_in(slow, LEFT) < JOBS))
        assert value_in(slow, UNRECORDED) == 0
        boss.kill()
        assert asked.result() is None
        # What was under way on the server may come to its end, or not.
        until(lambda: not value_in(slow, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'boss'"))
        assert value_in(slow, UNRECORDED) == 0


def prune(boss: BossProcess) -> httpx.Response | None:
    try:
        return httpx.delete(f"{boss.url}/job/done?older=60", timeout=60)
    except httpx.TransportError:
        return None


@pytest.mark.long
def test_a_prune_that_takes_long_answers_in_time_and_goes_on_when_asked_again(slow: str) -> None:
    with boss_running("--database", slow) as boss, boss.client() as client:
        answers: list[dict[str, Any]] = []
        while not answers or answers[-1]["more"]:
            answers.append(client.delete("/job/done?older=60").json())
        assert len(answers) > 1
        assert sum(answer["deleted"] for answer in answers) == JOBS
        acts = client.get("/audit").json()["acts"]
        # One event for each request, however many statements it took; none for a request that deleted nothing.
        assert [act["what"] for act in reversed(acts)] == [
            {"jobs": answer["deleted"], "older": 60} for answer in answers if answer["deleted"]
        ]
        assert client.get("/job").json()[State.DONE]["freg"] == 0


def test_a_prune_without_end_is_one_act(database: str) -> None:
    """Several statements, all of them quick."""
    with boss_running("--database", database) as boss, boss.client() as client:
        run_in(database, OLD_JOBS.split(";")[0])
        assert client.delete("/job/done?older=60").json() == {"deleted": JOBS, "more": False}
        [act] = client.get("/audit").json()["acts"]
        assert (act["did"], act["what"]) == ("pruned", {"jobs": JOBS, "older": 60})
