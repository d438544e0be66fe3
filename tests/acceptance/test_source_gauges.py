"""What `/metrics` says of how each source stands: ready jobs, jobs that are held back, and what needs attention."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.helpers.databases import run_in
from tests.helpers.requests import submit
from tests.helpers.servers import boss_running, until

pytestmark = pytest.mark.slow

Told = dict[tuple[str, ...], float]


@pytest.fixture
def client(database: str) -> Iterator[httpx.Client]:
    with boss_running("--database", database) as boss, boss.client() as client:
        yield client


def told(client: httpx.Client, family: str) -> Told:
    """The values of a family, each by its source and its other label, if there is one."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = next((each.samples for each in families if each.name == family), [])
    return {(sample.labels.pop("source"), *sample.labels.values()): sample.value for sample in samples}


def until_told(client: httpx.Client, family: str, holds: Callable[[Told], bool]) -> None:
    until(lambda: holds(told(client, family)), lambda: str(told(client, family))[:500])


def test_ready_jobs_are_apart_from_what_is_held_back(client: httpx.Client) -> None:
    first = submit(client, "a")
    submit(client, "a")
    submit(client, "a", delay=1000)
    for _ in range(2):
        submit(client, "a", after=first)
    until_told(client, "boss_jobs_ready", lambda ready: ready["a",] == 2)
    assert told(client, "boss_jobs_held") == {("a", "delayed"): 1, ("a", "blocked"): 2}
    client.get("/job/available/a")
    client.get("/job/available/a")
    until_told(client, "boss_jobs_ready", lambda ready: ready["a",] == 0)
    assert told(client, "boss_jobs")["a", "available"] == 3


def test_what_a_rule_holds_back_is_not_ready(client: httpx.Client) -> None:
    for source in ("paused", "limited", "slow", "free"):
        for _ in range(5):
            submit(client, source)
    client.put("/source/paused", json={"paused": True})
    client.put("/source/limited", json={"limit": 3})
    client.put("/source/slow", json={"rate": 1.5})
    client.get("/job/available/limited?limit=2")
    ready = {("free",): 5, ("limited",): 1, ("paused",): 0, ("slow",): 2}
    until_told(client, "boss_jobs_ready", lambda found: found == ready)
    held = {("limited", "limited"): 2, ("paused", "paused"): 5, ("slow", "limited"): 3}
    assert told(client, "boss_jobs_held") == held
    # No limit is smaller than what is active already.
    client.put("/source/limited", json={"limit": 1})
    until_told(client, "boss_jobs_ready", lambda found: found["limited",] == 0)


def test_sources_that_need_attention(client: httpx.Client, database: str) -> None:
    for source in ("failing", "unasked", "slow", "paused"):
        submit(client, source)
    for number in range(3):
        client.post(f"/job/done/failing/{submit(client, 'failing', priority=number)}?outcome=failed")
    client.get("/job/available/slow")
    submit(client, "slow")
    client.get("/job/available/failing")
    client.put("/source/paused", json={"paused": True})
    run_in(database, "UPDATE job SET submitted_at = now() - interval '1 hour' WHERE status = 'AVAILABLE'")
    needed = {("failing", "failing"), ("paused", "paused"), ("slow", "stuck"), ("unasked", "nobody_asks")}
    until_told(client, "boss_source_attention", lambda found: set(found) == needed)
    assert set(told(client, "boss_source_attention").values()) == {1}


def test_many_sources_share_the_series_of_the_others(client: httpx.Client, database: str) -> None:
    run_in(
        database,
        "INSERT INTO job (id, source, document, submitted_at) "
        "SELECT n || '-' || m, 'source-' || n, '{}', now() - interval '1 hour' "
        "FROM generate_series(1, 1200) AS n, generate_series(1, 1 + (n <= 1000)::int) AS m",
    )
    until_told(client, "boss_jobs_ready", lambda ready: ready.get(("(others)",)) == 200)
    assert len(told(client, "boss_jobs_ready")) == 1001
    attention = told(client, "boss_source_attention")
    assert len(attention) == 1001
    assert attention["(others)", "nobody_asks"] == 200
