"""Documents that are small when sent and huge when read: never stored, and harmless if they are stored already."""

import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from tests.helpers.databases import new_database, run_in
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running

pytestmark = pytest.mark.slow

_NUMBERS = "[" + "1e131000, " * 8200 + "1]"
LARGE = '{"a": ' + _NUMBERS + "}"
BOTH_SIZES = r"larger than 1048576 bytes, .* sent as 82,0\d\d bytes and would be read as 1,074,2\d\d,\d+"
UNKEPT = '{"a": 1e200000}'
LINES = {"content-type": "application/x-ndjson"}
IN_SQL = "jsonb_build_object('a', ('[' || repeat('1e131000, ', 8199) || '1e131000]')::jsonb)"


def statements(client: httpx.Client) -> int:
    """How many statements were run that write what clients send."""
    wanted = ("submit", "finish", "give_back", "read_as_jsonb")
    lines = client.get("/metrics").text.splitlines()
    names = [f'boss_statement_duration_seconds_count{{statement="{name}"}}' for name in wanted]
    return sum(int(float(line.split()[1])) for line in lines if line.startswith(tuple(names)))


@pytest.mark.parametrize(
    ("text", "status", "says"), [(LARGE, 413, BOTH_SIZES), (UNKEPT, 400, "1e200000, which overflows")]
)
class TestRefused:
    """Before anything is asked of the database."""

    def test_as_a_document(self, client: httpx.Client, source: str, text: str, status: int, says: str) -> None:
        before = statements(client)
        for path in (source, f"{source}/{source}"):
            assert_problem(client.post(f"/job/available/{path}", content=text), status, says)
        assert statements(client) == before
        assert source not in client.get("/job").json()["available"]

    def test_as_a_line(self, client: httpx.Client, source: str, text: str, status: int, says: str) -> None:
        before = statements(client)
        lines = f"{{}}\n{text}\n{{}}\n"
        assert_problem(
            client.post(f"/job/available/{source}", content=lines, headers=LINES), status, f"Line 2: .*{says}"
        )
        named = f'{{"id": "a", "job": {{}}}}\n{{"id": "b", "job": {text}}}'
        answer = client.post(f"/job/available/{source}?ids=given", content=named, headers=LINES)
        assert_problem(answer, status, f"Line 2: .*{says}")
        assert statements(client) == before

    def test_as_a_result_or_a_reason(
        self, client: httpx.Client, source: str, text: str, status: int, says: str
    ) -> None:
        id = submit(client, source)
        assert client.get(f"/job/available/{source}").status_code == 200
        before = statements(client)
        assert_problem(client.post(f"/job/done/{source}/{id}", content=text), status, says)
        reason = f'{{"error": {_NUMBERS if status == 413 else "1e200000"}}}'
        assert_problem(client.request("DELETE", f"/job/active/{source}/{id}", content=reason), status, says)
        assert statements(client) == before
        assert client.head(f"/job/active/{source}/{id}").status_code == 200

    def test_as_one_of_many_results(
        self,
        client: httpx.Client,
        source: str,
        text: str,
        status: int,
        says: str,
    ) -> None:
        ids = [submit(client, source) for _ in range(3)]
        lines = [f'{{"id": "{id}", "result": {text if id == ids[1] else "{}"}}}' for id in ids]
        answer = client.post(f"/job/done/{source}", content="\n".join(lines), headers=LINES)
        assert [json.loads(line)["status"] for line in answer.text.splitlines()] == [200, status, 200]
        assert client.head(f"/job/available/{source}/{ids[1]}").status_code == 200


class TestThereAlready:
    """As from a version before, or by SQL."""

    @pytest.fixture
    def here(self, postgres: str) -> Iterator[tuple[str, httpx.Client]]:
        for url in new_database(postgres):
            with boss_running("--database", url) as boss, boss.client() as client:
                yield url, client

    @pytest.mark.long
    def test_takes_go_on_and_readers_are_told(self, here: tuple[str, httpx.Client]) -> None:
        url, client = here
        names = [f"bad-{number}" for number in range(6)]
        values = ", ".join(f"('{name}', 'freg', {IN_SQL})" for name in names)
        run_in(url, f"INSERT INTO job (id, source, document) VALUES {values}")
        client.post("/job/available/freg/good", json={"a": 1})
        client.post("/job/available/other/another", json={})
        placeholder = "too large to be shown: more than 33,554,432 bytes"
        assert client.get("/jobs/bad-0").json()["job"] == placeholder
        assert client.get("/job/available/freg/bad-0").json()["job"] == placeholder
        assert [job["job"] for job in client.get("/jobs?source=freg").json()["jobs"]] == [{"a": 1}, *[placeholder] * 6]
        assert_problem(client.post("/job/active/freg/bad-5"), 404, "/job/done/freg/bad-5")
        assert client.get("/job/available").json()["id"] == "good"
        assert client.get("/job/available/other").json()["id"] == "another"
        for name in names:
            job = client.get(f"/jobs/{name}").json()
            assert (job["state"], job["outcome"], job["job"]) == ("done", "failed", placeholder)
            assert "cannot hand this job out" in job["result"]["error"]
        found = {each["what"]: each for each in client.get("/health").json()["findings"]}["unreadable jobs"]
        assert found["verdict"] == "watch"
        assert "/job/done/freg/bad-0" in found["value"]

    def test_results_are_shown_as_what_they_are(self, here: tuple[str, httpx.Client]) -> None:
        url, client = here
        client.post("/job/available/freg/one", json={})
        run_in(url, f"UPDATE job SET status = 'DONE', outcome = 'failed', finished_at = now(), result = {IN_SQL}")
        placeholder = "too large to be shown: more than 33,554,432 bytes"
        assert client.get("/jobs/one").json()["result"] == placeholder
        assert client.get("/jobs").json()["jobs"][0]["result"] == placeholder
        with client.stream("GET", "/watch") as answer:
            first = next(line for line in answer.iter_lines() if line.startswith("data: "))
        assert placeholder in json.loads(first.removeprefix("data: "))["failed"][0]["reason"]


_MIB_JOBS = 300


@pytest.mark.alone
@pytest.mark.parametrize("character", ["x", "é", "😀"])
def test_8_clients_that_take_and_list_300_large_jobs_at_once(postgres: str, character: str) -> None:
    """As many as fit, in order, never a 503 or a false 404, and within 400 MB."""
    for url in new_database(postgres):
        with boss_running("--database", url) as boss:
            text = f"repeat('{character}', {(2**20 - 9) // len(character.encode()) - 10}) || '😀'"
            run_in(
                url,
                "INSERT INTO job (id, source, document) SELECT 'job-' || 1000 + n, 'freg', "
                f"jsonb_build_object('a', {text}) FROM generate_series(1, {_MIB_JOBS}) AS n",
            )
            memory, taken = _take_all(boss)
        assert sorted(itertools.chain(*taken)) == [f"job-{1001 + number}" for number in range(_MIB_JOBS)]
        assert all(batch == sorted(batch) for batch in taken)
        assert max(map(len, taken)) in (31, 32)
        assert memory < 400e6


def _take_all(boss: BossProcess) -> tuple[int, list[list[str]]]:
    """The most memory that Boss has while all jobs are listed and taken, and the ids of each take."""
    process, over, most = psutil.Process(boss.process.pid), threading.Event(), [0]

    def watch() -> None:
        while not over.wait(0.01):
            most[0] = max(most[0], process.memory_info().rss)

    def go_on(_: int) -> list[list[str]]:
        got = []
        with boss.client(timeout=60) as client:
            assert client.get("/jobs?limit=1000").status_code == 200
            while (answer := client.get("/job/available/freg?limit=1000&lease=0")).status_code == 200:
                got.append([job["id"] for job in answer.json()])
            assert_problem(answer, 404, "No job of freg is ready")
            assert client.head("/job/available/freg").status_code == 404
        return got

    with ThreadPoolExecutor(9) as threads:
        watching = threads.submit(watch)
        try:
            taken = [batch for got in threads.map(go_on, range(8)) for batch in got]
        finally:
            over.set()
        watching.result()
    return most[0], taken
