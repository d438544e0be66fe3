"""What was found when others tried to break find, redo, stop, delete, waits and the list of converters."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from tests.helpers.commands import Boss
from tests.helpers.databases import fill_in, run_in
from tests.helpers.jobs import record, take
from tests.helpers.locks import transaction, waiting_for_locks
from tests.helpers.reached import module_boss, reached
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow

__all__ = ["module_boss", "reached"]  # fixtures


def done(client: httpx.Client, source: str) -> str:
    id = submit(client, source)
    client.post(f"/job/done/{source}/{id}")
    return id


def test_many_of_one_time_come_in_pages(database: str) -> None:
    """And keep neither the memory nor the other requests of the replica busy."""
    jobs = 100_000
    fill_in(
        database,
        "INSERT INTO job (id, source, document, status, finished_at, outcome) "
        f"SELECT 'tied-' || n, 'ties', '{{}}', 'DONE', now(), 'completed' FROM generate_series(1, {jobs}) AS n",
    )
    with boss_running("--database", database) as boss, boss.client() as client:
        before = psutil.Process(boss.process.pid).memory_info().rss
        found: list[str] = []
        page = client.get("/jobs?source=ties&outcome=completed&limit=1000").json()
        for _ in range(20):
            found += [job["id"] for job in page["jobs"]]
            page = client.get(page["next"]).json()
        assert found == sorted(found, reverse=True)
        assert len(set(found)) == len(found) > 10_000
        moved = client.post("/job/available/ties?from=done").json()
        assert moved["moved"] > 0
        assert client.get("/job").json()["available"]["ties"] == moved["moved"]
        assert psutil.Process(boss.process.pid).memory_info().rss < before + 60 * 1024 * 1024


def test_jobs_finished_by_one_statement_have_a_time_each(client: httpx.Client, reached: str, source: str) -> None:
    for _ in range(20):
        submit(client, source)
    run_in(reached, f"UPDATE job SET status = 'DONE' WHERE source = '{source}'")
    jobs = client.get(f"/jobs?source={source}").json()["jobs"]
    assert len({job["finished"] for job in jobs}) > 1


def test_a_job_that_is_locked_is_waited_for(client: httpx.Client, reached: str, source: str) -> None:
    ids = [done(client, source) for _ in range(3)]
    with ThreadPoolExecutor(1) as threads:
        for ask in (
            lambda: client.post(f"/job/available/{source}/{ids[0]}?from=done"),
            lambda: client.delete(f"/job/done/{source}/{ids[1]}"),
            lambda: client.delete(f"/job/done/{source}"),
        ):
            with transaction(reached, f"SELECT FROM job WHERE source = '{source}' FOR UPDATE"):
                asked = threads.submit(ask)
                waiting_for_locks(reached, 1)
            assert asked.result().status_code in (200, 204)
    assert client.get("/job").json()["done"][source] == 0


def test_an_allowance_stays_when_the_history_has_lost_its_beginning(client: httpx.Client, source: str) -> None:
    id = submit(client, source, attempts=3)
    for _ in range(120):
        take(client, source)
        client.delete(f"/job/active/{source}/{id}?uncounted=1")
    assert record(client, id)["attempts"] == 123
    for attempts in (126, 129):
        client.post(f"/job/done/{source}/{id}")
        assert client.post(f"/job/available/{source}/{id}?from=done").status_code == 200
        assert record(client, id)["attempts"] == attempts


def test_a_history_typed_by_hand_is_in_nobodys_way(client: httpx.Client, reached: str, source: str) -> None:
    ids = [done(client, source) for _ in range(2)]
    run_in(reached, f"""UPDATE job SET history = '[{{"allowed": "many"}}]' WHERE id = '{ids[0]}'""")
    assert client.post(f"/job/available/{source}?from=done").json()["moved"] == 2


def test_if_match_of_a_deletion(client: httpx.Client, source: str) -> None:
    id = done(client, source)
    answer = client.delete(f"/job/done/{source}/{id}", headers={"if-match": '"7"'})
    assert answer.status_code == 412
    assert client.delete(f"/job/done/{source}/{id}", headers={"if-match": '"0"'}).status_code == 204


def test_a_source_in_two_places_is_refused(module_boss: BossProcess, client: httpx.Client, source: str) -> None:
    done(client, source)
    for command in ("redo", "stop", "delete"):
        said = Boss(module_boss.url)(command, "other", "--source", source, "--yes")
        assert (said.returncode, said.stdout) == (2, "")
        assert f"say which: boss {command}" in said.stderr
    assert client.get("/job").json()["done"][source] == 1


def test_it_asks_also_before_it_has_counted_any(module_boss: BossProcess, client: httpx.Client, reached: str) -> None:
    """The search takes longer than counting may: the one job that is found is the last to be looked at."""
    fill_in(
        reached,
        "INSERT INTO job (id, source, document, status, finished_at, outcome, result) "
        "SELECT 'hay-' || n, 'stack', '{}', 'DONE', now() - n * interval '1 ms', 'failed', "
        "jsonb_build_object('error', repeat('aaaaaaab', 1900)) FROM generate_series(1, 30000) AS n",
    )
    said = Boss(module_boss.url)("delete", "--source", "stack", "--reason", "needle")
    # It depends on the machine whether it has counted all in time; then there is nothing to ask.
    if "Delete" in said.stdout:
        assert (said.returncode, "nothing was done" in said.stderr) == (1, True)
    else:
        assert said.returncode == 0


def test_a_converter_of_days_ago_is_not_listed(client: httpx.Client, reached: str, source: str) -> None:
    client.get(f"/job/available/{source}", headers={"boss-converter": source})
    until(lambda: source in client.get("/converter").text)
    run_in(reached, f"UPDATE converter SET heard = now() - interval '30 hours' WHERE name = '{source}'")
    assert source not in client.get("/converter").text


def test_a_token_sees_no_other_sources_of_a_converter(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as root:
        root.headers["authorization"] = f"Bearer {create(root, 'root', 'admin')}"
        root.get("/job/available/a,b", headers={"boss-converter": "shared"})
        until(lambda: "shared" in root.get("/converter").text)
        mine = {"authorization": f"Bearer {create(root, 'mine', 'submitter', sources=['a'])}"}
        assert [each["sources"] for each in root.get("/converter", headers=mine).json()["converters"]] == [["a"]]


def test_waits_for_one_job_share_a_statement(client: httpx.Client, module_boss: BossProcess, source: str) -> None:
    id = submit(client, source)
    with ThreadPoolExecutor(60) as threads:
        limits = httpx.Limits(max_connections=None)
        with httpx.Client(base_url=module_boss.url, timeout=70, limits=limits) as many:
            waits = [threads.submit(many.get, f"/jobs/{id}?wait=50") for _ in range(60)]
            until(lambda: "boss_waiting_for_end 60.0" in client.get("/metrics").text)
            client.post(f"/job/done/{source}/{id}")
            started = time.monotonic()
            assert {each.result().json()["state"] for each in waits} == {"done"}
            assert time.monotonic() - started < 30


def test_messages_keep_names_and_say_what_to_do(client: httpx.Client, source: str) -> None:
    submit(client, source)
    assert_problem(client.delete(f"/source/{source}"), 409, f"^The source {source} has jobs")
    assert_problem(
        client.post(f"/job/done/{source}?from=available&reason=old"), 400, "^The reason of a stop goes into the body"
    )
    id = done(client, source)
    client.post(f"/job/available/{source}/{id}?from=done")
    assert "never taken, completed" in str(Boss(str(client.base_url))("show", id).stdout)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_job_that_is_just_being_moved_into_a_volume_is_found(database: str, method: str) -> None:
    """Maintenance of another replica moves it, and has not committed yet."""
    with boss_running("--database", database) as boss, boss.client() as client, ThreadPoolExecutor(1) as threads:
        for path in ("one", ""):
            # Boss itself moves nothing meanwhile.
            with transaction(database, "SELECT pg_advisory_xact_lock(7093014877726275173)") as run:
                ids = [done(client, "freg") for _ in range(3)]
                moved = ", ".join(f"'{id}'" for id in ids)
                run(f"SELECT move_done('job_done_1', ARRAY[{moved}])")
                state, name = ("available", "?from=done") if method == "POST" else ("done", "")
                address = f"/job/{state}/freg/{ids[0]}{name}" if path else f"/job/{state}/freg{name}"
                asked = threads.submit(client.request, method, address)
                waiting_for_locks(database, 1)
                run("COMMIT")
            answer = asked.result()
            assert answer.status_code in (200, 204), answer.text
            if not path:
                # With the two that the request for one has left.
                assert next(iter(answer.json().values())) == 5
