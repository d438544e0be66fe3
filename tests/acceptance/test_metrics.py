"""`/metrics`, as Prometheus reads it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.helpers.health import execute
from tests.helpers.postgres import PostgresServer
from tests.helpers.requests import submit
from tests.helpers.servers import boss_running, until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def client(database: str) -> Iterator[httpx.Client]:
    with boss_running("--database", database) as boss, boss.client() as client:
        yield client


def scrape(client: httpx.Client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample, by its name and its labels in order."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: dict[tuple[str, tuple[tuple[str, str], ...]], float], name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def ended(samples: dict[tuple[str, tuple[tuple[str, str], ...]], float], source: str, outcome: str) -> float:
    return value(samples, "boss_jobs_finished_total", source=source, outcome=outcome)


def test_a_life_is_counted(client: httpx.Client, database: str) -> None:
    for number in range(5):
        submit(client, f"a/a-{number}")
    submit(client, "b/b-1", attempts=1)
    client.get("/job/available/a")
    client.get("/job/available/a?limit=2")
    client.post("/job/done/a/a-0")
    client.post("/job/done/a/a-1?outcome=stopped")
    client.delete("/job/active/a/a-2?delay=1000")
    client.get("/job/available/b")
    client.delete("/job/active/b/b-1")
    client.get("/job/available/a")
    execute(database, "UPDATE job SET submitted_at = now() - interval '100 s', taken_at = now() - interval '50 s'")
    client.request("PATCH", "/job/available")
    samples = scrape(client)
    moves = ("submitted", "taken", "given_back")
    assert [value(samples, f"boss_jobs_{name}_total", source="a") for name in moves] == [5, 4, 1]
    assert [value(samples, f"boss_jobs_{name}_total", source="b") for name in moves] == [1, 1, 1]
    outcomes = ("completed", "stopped", "failed", "abandoned")
    assert [ended(samples, "a", outcome) for outcome in outcomes] == [1, 1, 0, 0]
    assert [ended(samples, "b", outcome) for outcome in outcomes] == [0, 0, 1, 0]
    assert value(samples, "boss_leases_expired_total", source="a") == 0
    counts = {
        (source, state): value(samples, "boss_jobs", source=source, state=state)
        for source, state in (("a", "available"), ("a", "active"), ("a", "done"), ("b", "active"), ("b", "done"))
    }
    assert counts == {("a", "available"): 2, ("a", "active"): 1, ("a", "done"): 2, ("b", "active"): 0, ("b", "done"): 1}
    assert 100 <= value(samples, "boss_oldest_available_age_seconds", source="a") < 160
    assert 50 <= value(samples, "boss_oldest_active_age_seconds", source="a") < 110
    takes = value(
        samples, "boss_request_duration_seconds_count", method="GET", route="/job/available/{source}", status="200"
    )
    assert takes == 4
    assert value(samples, "boss_request_duration_seconds_count", method="other", route="/job/available", status="405")
    assert value(samples, "boss_batch_size_sum", kind="submit") == 6
    assert value(samples, "boss_statement_duration_seconds_count", statement="submit") == 6
    assert value(samples, "boss_database_up") == 1
    assert value(samples, "boss_waiting_takers") == 0
    assert value(samples, "boss_database_connections", use="idle") >= 1
    client.put("/source/a", json={"paused": True})
    assert ("boss_oldest_available_age_seconds", (("source", "a"),)) not in scrape(client)


def test_many_sources_do_not_make_many_series(client: httpx.Client, database: str) -> None:
    execute(
        database,
        "INSERT INTO job (id, source, document) SELECT n || '-' || m, 'source-' || n, '{}' "
        "FROM generate_series(1, 1200) AS n, generate_series(1, 1 + (n <= 1000)::int) AS m",
    )
    samples = scrape(client)
    assert len([name for name, _ in samples if name == "boss_jobs"]) == 3001
    assert value(samples, "boss_jobs", source="(others)", state="available") == 200
    assert value(samples, "boss_oldest_available_age_seconds", source="(others)") < 60


def test_a_process_counts_a_thousand_sources_apart_and_the_others_together(client: httpx.Client) -> None:
    for number in range(1003):
        submit(client, f"source-{number}")
    client.get("/job/available/source-0")
    client.get("/job/available/source-1002")
    samples = scrape(client)
    submitted = {labels: jobs for (name, labels), jobs in samples.items() if name == "boss_jobs_submitted_total"}
    assert len(submitted) == 1001
    assert sum(submitted.values()) == 1003
    assert submitted[("source", "(others)"),] == 3
    assert value(samples, "boss_jobs_taken_total", source="source-0") == 1
    assert value(samples, "boss_jobs_taken_total", source="(others)") == 1


def test_what_ends_without_a_request_is_counted_by_source(client: httpx.Client) -> None:
    submit(client, "late/late-1", attempts=1, timeout=1)
    submit(client, "silent/silent-1", attempts=1)
    submit(client, "old/old-1", expires=1)
    submit(client, "next/next-1", after="old-1")
    client.get("/job/available/late")
    client.get("/job/available/silent?lease=1")
    ends = {("late", "failed"), ("silent", "abandoned"), ("old", "abandoned"), ("next", "stopped")}

    def told() -> set[tuple[str, str]]:
        samples = scrape(client)
        found = {dict(labels)["source"] for (name, labels) in samples if name == "boss_jobs_submitted_total"}
        return {
            (source, outcome)
            for source in found
            for outcome in ("completed", "failed", "stopped", "abandoned")
            if ended(samples, source, outcome)
        }

    until(lambda: told() == ends)
    samples = scrape(client)
    expired = {source: value(samples, "boss_leases_expired_total", source=source) for source in ("late", "silent")}
    assert expired == {"late": 1, "silent": 1}


def test_without_the_database_it_says_so(server: PostgresServer) -> None:
    with boss_running("--database", server.url) as boss, boss.client() as client:
        server.kill()
        samples = scrape(client)
        assert value(samples, "boss_database_up") == 0
        assert value(samples, "boss_jobs_submitted_total", source="(others)") == 0
        assert "boss_jobs" not in {name for name, _ in samples}


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian's package prometheus) is not installed here")
def test_promtool_has_nothing_to_say(client: httpx.Client) -> None:
    submit(client, "a")
    client.get("/job/available")
    text = client.get("/metrics").text
    said = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")
