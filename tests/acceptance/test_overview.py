"""The overview in the dashboard feed, and the history of sources."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.helpers.databases import run_in
from tests.helpers.events import news
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow

Event = dict[str, Any]


def merged(events: Iterator[Event], wanted: Callable[[Event], bool]) -> Event:
    """What a page knows once this is true of it: the changes put together."""
    known: Event = {"sources": {}}
    for event in events:
        sources = known["sources"] | event.pop("sources", {})
        known |= event | {"sources": {name: each for name, each in sources.items() if each is not None}}
        if wanted(known):
            return known
    raise AssertionError(known)


def seen(client: httpx.Client, wanted: Callable[[Event], bool]) -> Event:
    with client.stream("GET", "/watch") as answer:
        return merged(news(answer), wanted)


def reasons_of(known: Event) -> dict[str, list[tuple[str, int, int | None]]]:
    """The reasons for attention of each source."""
    return {
        name: [(each["reason"], each["jobs"], each["of"]) for each in view["attention"]]
        for name, view in known["sources"].items()
    }


def is_like(source: str, **expected: object) -> Callable[[Event], bool]:
    return lambda known: expected.items() <= known["sources"].get(source, {}).items()


def test_how_a_source_stands(module_boss: BossProcess, client: httpx.Client, source: str) -> None:
    first = submit(client, source)
    for _ in range(2):
        submit(client, source)
    submit(client, source, delay=1000)
    assert client.post(f"/job/available/{source}", params={"after": first}, content="{}").status_code == 201
    client.put(f"/source/{source}", json={"limit": 1})
    assert client.get(f"/job/available/{source}").json()["id"] == first
    with client.stream("GET", "/watch") as answer:
        events = news(answer)
        known = merged(events, is_like(source, limit=1, active=1, asks=True))
        view = known["sources"][source]
        assert {name: view[name] for name in ("ready", "delayed", "blocked", "active", "done")} == {
            "ready": 2, "delayed": 1, "blocked": 1, "active": 1, "done": 0,
        }  # fmt: skip
        assert (view["at_limit"], view["at_least"], view["asked"], view["attention"]) == (True, [], None, [])
        assert view["oldest_ready"] is not None
        assert known["total"]["ready"] == sum(each["ready"] for each in known["sources"].values())
        assert known["doctor"]["verdict"] in ("well", "watch")
        # Only what changed comes again.
        client.put(f"/source/{source}", json={"paused": True})
        later = merged(events, is_like(source, paused=True))
        assert set(later["sources"]) == {source}
        [reason] = later["sources"][source]["attention"]
        assert (reason["reason"], reason["jobs"]) == ("paused", 4)
        assert later["total"]["paused"] >= 1


def test_a_source_that_is_gone(client: httpx.Client, source: str) -> None:
    client.put(f"/source/{source}", json={"limit": 1})
    with client.stream("GET", "/watch") as answer:
        events = news(answer)
        merged(events, is_like(source, limit=1))
        client.delete(f"/source/{source}")
        assert next(event for event in events if source in event.get("sources", {}))["sources"][source] is None


def test_reasons_for_attention(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        for name in ("failing", "unasked", "slow"):
            submit(client, name)
        for _ in range(3):
            id = submit(client, "failing", attempts=1, priority=1)
            client.get("/job/available/failing")
            client.request("DELETE", f"/job/active/failing/{id}", content='{"error": "no"}')
        # Whatever ended since the last counted minute belongs to the share that failed.
        for _ in range(2):
            id = submit(client, "failing", priority=1)
            client.get("/job/available/failing")
            client.post(f"/job/done/failing/{id}")
        client.get("/job/available/slow")
        submit(client, "slow")
        run_in(database, "UPDATE job SET submitted_at = now() - interval '1 hour' WHERE status = 'AVAILABLE'")
        reasons = {
            "failing": [("failing", 3, 5), ("stuck", 1, None)],
            "unasked": [("nobody asks", 1, None)],
            "slow": [("stuck", 1, None)],
        }
        known = seen(client, lambda known: reasons_of(known) == reasons)
        assert (known["total"]["failed_hour"], known["sources"]["failing"]["failed_day"]) == (3, 3)
        assert known["total"]["oldest_ready"] is not None
        verdict = client.get("/health").json()
        assert verdict["verdict"] == "watch"
        [finding] = [each for each in verdict["findings"] if each["what"] == "sources to look after"]
        assert "failing: 3 of 5 jobs that ended in the last hour failed" in finding["value"]
        # A taker that waits asks, too, and any taker that names no source asks for all.
        assert known["total"]["converters"] == {"heard": 0, "working": 1}
        for job in client.get("/job/available?limit=10", headers={"boss-converter": "host/1"}).json():
            client.post(f"/job/done/{job['source']}/{job['id']}")
        known = seen(client, lambda known: all(each["asks"] for each in known["sources"].values()))
        known = seen(client, lambda known: known["total"]["converters"]["heard"] == 1)
        assert known["total"]["attention"] == 1  # what has failed


def test_a_waiting_taker_asks(client: httpx.Client, module_boss: BossProcess, source: str) -> None:
    client.put(f"/source/{source}", json={"limit": 9})
    submit(client, source)
    client.post(f"/job/done/{source}/{client.get(f'/job/available/{source}').json()['id']}")
    with (
        module_boss.client() as taking,
        client.stream("GET", "/watch") as answer,
        ThreadPoolExecutor(1) as thread,
    ):
        taker = thread.submit(taking.get, f"/job/available/{source}?wait=10")
        merged(news(answer), is_like(source, asks=True))
        submit(taking, source)
        assert taker.result().status_code == 200


def test_many_delayed_jobs_are_not_counted_one_by_one(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        run_in(
            database,
            "INSERT INTO job (id, source, document, due_at) "
            "SELECT 'delayed-' || n, 'a', '{}'::jsonb, now() + n * interval '1 day' "
            "FROM generate_series(1, 10100) AS n "
            "UNION ALL SELECT 'ready-' || n, 'a', '{}', NULL FROM generate_series(1, 1500) AS n "
            "UNION ALL SELECT 'few-' || n, 'b', '{}', NULL FROM generate_series(1, 7) AS n "
            "UNION ALL SELECT 'some-' || n, 'b', '{}', now() + interval '900 years' FROM generate_series(1, 9) AS n",
        )
        known = seen(client, lambda known: set(known["sources"]) == {"a", "b"})
        a, b = known["sources"]["a"], known["sources"]["b"]
        assert (a["ready"], a["delayed"], a["at_least"]) == (1000, 10_001, ["ready", "delayed"])
        assert (b["ready"], b["delayed"], b["at_least"]) == (7, 9, [])
        assert known["total"]["at_least"] == ["ready", "delayed"]


def test_a_token_sees_its_sources(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as root, boss.client() as one:
        root.headers["authorization"] = f"Bearer {create(root, 'root', 'admin')}"
        one.headers["authorization"] = f"Bearer {create(root, 'one', 'submitter', sources=['freg'])}"
        for source in ("freg", "other"):
            submit(root, source)
        run_in(
            database,
            "INSERT INTO source_history "
            "SELECT 60, date_trunc('minute', now()) - interval '1 minute', source, jobs, jobs, 0, 0, 0, "
            "       '{}', '{}', '{}', '{}' "
            "FROM (VALUES ('freg', 3), ('other', 4), ('', 7)) AS done(source, jobs) "
            "ON CONFLICT (seconds, start, source) DO UPDATE SET submitted = excluded.submitted",
        )
        everything = seen(root, lambda known: {"freg", "other"} <= set(known["sources"]))
        assert everything["doctor"] is not None
        theirs = seen(one, lambda known: "freg" in known["sources"])
        assert (set(theirs["sources"]), theirs["total"]["sources"], theirs["doctor"]) == ({"freg"}, 1, None)
        assert root.get("/history").json()["submitted"][-1] == 7
        assert one.get("/history").json()["submitted"][-1] == 3
        assert one.get("/source/freg/history").json()["submitted"][-1] == 3
        assert_problem(one.get("/source/other/history"), 403, "other")


def test_the_history_of_a_minute(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        # As if what was counted when Boss started were a minute old.
        until(lambda: client.get("/history").json()["submitted"][-1] is not None)
        for _ in range(4):
            submit(client, "freg")
        for job in client.get("/job/available/freg?limit=2").json():
            client.post(f"/job/done/freg/{job['id']}")
        # One of them ended in the minute before: the next that is counted may be this one or that one.
        # In one transaction, so that nothing is counted in between.
        run_in(
            database,
            "UPDATE source_level SET minute = minute - interval '1 minute', at = at - interval '1 minute'; "
            "UPDATE source_history SET start = start - interval '1 minute'; "
            "UPDATE job SET finished_at = greatest(date_trunc('minute', now() - interval '2 s') - interval '1 s', "
            "(SELECT at FROM source_level WHERE source = '')), submitted_at = now() - interval '100 s' "
            "WHERE id = (SELECT min(id) FROM job WHERE status = 'DONE')",
        )
        until(lambda: 1 in client.get("/source/freg/history").json()["done"])
        found = client.get("/source/freg/history").json()
        assert (found["source"], found["span"], found["step"]) == ("freg", "hour", 60)
        assert {len(values) for values in found.values() if isinstance(values, list)} == {60}
        came, failed = (sum(filter(None, found[name])) for name in ("submitted", "failed"))
        assert (came, failed, found["waiting"][-1]) == (4, 0, 2)
        day = client.get("/source/freg/history?span=day").json()
        assert (day["step"], len(day["at"])) == (600, 144)
        assert client.get("/source/none/history").json()["done"][-1] == 0
        assert_problem(client.get("/history?span=week"), 400, "The span is 'week'; it is one of hour, day")
        assert_problem(client.get("/source/freg/history?x=1"), 400, "'x' is not a parameter here")


def test_nothing_is_sent_while_nothing_changes(database: str) -> None:
    """Though a converter is heard of again and again."""
    with boss_running("--database", database) as boss, boss.client() as client, boss.client() as asking:
        client.put("/source/freg", json={"limit": 1})
        with client.stream("GET", "/watch") as answer:
            heard = 0
            for event in news(answer):
                if heard and "counts" in event:
                    break
                asking.get("/job/available/freg", headers={"boss-converter": "host/1"})
                heard += event.get("total", {}).get("converters", {}).get("heard", 0)
                assert set(event) - {"now", "away"}
                if heard:
                    submit(asking, "freg")
