"""Schedules: each moment makes one job, over any number of replicas, with a clock that the test moves."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import pytest

from tests.helpers.clock import Clock
from tests.helpers.databases import new_database, run_in, value_in
from tests.helpers.requests import assert_problem
from tests.helpers.servers import BossProcess, boss_running, until
from tests.helpers.tokens import create

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def replicas(clock: Clock) -> Iterator[list[BossProcess]]:
    """Three replicas that go by the clock."""
    with boss_running("--database", clock.database) as two, boss_running("--database", clock.database) as three:
        yield [clock.boss, two, three]


@pytest.fixture
def client(clock: Clock) -> Iterator[httpx.Client]:
    """A client of one of the replicas. In the end no schedule is left."""
    with clock.boss.client() as client:
        yield client
        for each in client.get("/schedule").json()["schedules"]:
            assert client.delete(f"/schedule/{each['name']}").status_code == 204


def put(client: httpx.Client, name: str, **words: object) -> dict[str, Any]:
    answer = client.put(f"/schedule/{name}", json={"source": name, "cron": "* * * * *", **words})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def jobs_of(client: httpx.Client, source: str) -> list[dict[str, Any]]:
    """The jobs of a source, by id."""
    jobs = client.get("/jobs", params={"source": source, "limit": 1000}).json()["jobs"]
    return sorted(jobs, key=lambda job: str(job["id"]))


def move_to(clock: Clock, moment: str, past: float = 2) -> None:
    """Move the clock to so many seconds past a moment."""
    now: datetime = value_in(clock.database, "SELECT clock.now()")
    clock.move((datetime.fromisoformat(moment) - now).total_seconds() + past)


def id_of(name: str, moment: str) -> str:
    return f"{name}-{datetime.fromisoformat(moment).astimezone(UTC):%Y%m%dT%H%M%SZ}"


def test_each_moment_makes_one_job_over_several_replicas(
    replicas: list[BossProcess], client: httpx.Client, clock: Clock, source: str
) -> None:
    expected = []
    put(client, source, job={"every": "minute"})
    for _ in range(8):
        moment = client.get(f"/schedule/{source}").json()["next"]
        expected.append(id_of(source, moment))
        move_to(clock, moment)
        until(lambda: len(jobs_of(client, source)) >= len(expected))
    assert [job["id"] for job in jobs_of(client, source)] == expected
    assert {job["submitted_by"] for job in jobs_of(client, source)} == {f"schedule {source}"}
    assert {tuple(job["job"].items()) for job in jobs_of(client, source)} == {(("every", "minute"),)}
    assert sum(boss.log.count(f'"job":"{source}-') for boss in replicas) == len(expected)


def test_a_take_that_waits_gets_the_job_of_a_moment(client: httpx.Client, clock: Clock, source: str) -> None:
    moment = put(client, source)["next"]
    move_to(clock, moment)
    assert client.get(f"/job/available/{source}?wait=20").json()["id"] == id_of(source, moment)


def test_moments_that_were_missed_run_once(client: httpx.Client, clock: Clock, source: str) -> None:
    first = datetime.fromisoformat(put(client, source, cron="0 * * * *")["next"])
    last = first + timedelta(hours=5)
    move_to(clock, last.isoformat(), past=1200)
    until(lambda: bool(jobs_of(client, source)))
    assert [job["id"] for job in jobs_of(client, source)] == [id_of(source, last.isoformat())]
    assert datetime.fromisoformat(client.get(f"/schedule/{source}").json()["next"]) == last + timedelta(hours=1)


def test_moments_that_were_missed_are_skipped(
    replicas: list[BossProcess], client: httpx.Client, clock: Clock, source: str
) -> None:
    first = datetime.fromisoformat(put(client, source, cron="0 * * * *", missed="skip")["next"])
    move_to(clock, (first + timedelta(hours=5)).isoformat(), past=1200)
    following = (first + timedelta(hours=6)).isoformat()
    until(lambda: datetime.fromisoformat(client.get(f"/schedule/{source}").json()["next"]).isoformat() == following)
    assert jobs_of(client, source) == []
    said = f"moment of the schedule {source}"
    until(lambda: any(said in boss.log for boss in replicas))
    assert sum(said in boss.log for boss in replicas) == 1
    move_to(clock, following)
    until(lambda: [job["id"] for job in jobs_of(client, source)] == [id_of(source, following)])


def test_a_paused_one_submits_nothing_and_goes_on_from_now(client: httpx.Client, clock: Clock, source: str) -> None:
    assert put(client, source, paused=True)["next"] is None
    put(client, f"{source}-beside")
    clock.move(600)
    until(lambda: bool(jobs_of(client, f"{source}-beside")))
    assert jobs_of(client, source) == []
    moment = put(client, source)["next"]
    move_to(clock, moment)
    until(lambda: [job["id"] for job in jobs_of(client, source)] == [id_of(source, moment)])


def test_it_is_run_now(client: httpx.Client, source: str) -> None:
    before = put(client, source, cron="0 0 1 1 *", paused=True, job={"n": 1})
    answer = client.post(f"/schedule/{source}")
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/job/available/{source}/{made['id']}"
    assert made["source"] == source
    assert client.get(f"/jobs/{made['id']}").json()["job"] == {"n": 1}
    assert client.get(f"/schedule/{source}").json() == before


def test_a_job_that_has_the_id_already_stays_as_it_is(
    replicas: list[BossProcess], client: httpx.Client, clock: Clock, source: str
) -> None:
    moment = put(client, source, job={"by": "schedule"})["next"]
    assert client.post(f"/job/available/{source}/{id_of(source, moment)}", json={"by": "hand"}).status_code == 201
    move_to(clock, moment)
    until(lambda: client.get(f"/schedule/{source}").json()["next"] > moment)
    assert [job["job"] for job in jobs_of(client, source)] == [{"by": "hand"}]
    until(lambda: any(f"did not submit {id_of(source, moment)}" in boss.log for boss in replicas))


def test_a_put_that_changes_no_moment_loses_none(
    replicas: list[BossProcess], client: httpx.Client, clock: Clock, source: str
) -> None:
    """A deploy script sends it again right after a moment that no replica has looked after."""
    moment = put(client, source)["next"]
    for boss in replicas[1:]:
        boss.process.send_signal(signal.SIGSTOP)
    try:
        now: datetime = value_in(clock.database, "SELECT clock.now()")
        seconds = (datetime.fromisoformat(moment) - now).total_seconds() + 2
        run_in(clock.database, f"SELECT clock.move({seconds})")
        put(client, source, job={"n": 2})
    finally:
        for boss in replicas[1:]:
            boss.process.send_signal(signal.SIGCONT)
    until(lambda: [job["id"] for job in jobs_of(client, source)] == [id_of(source, moment)])


def test_one_that_cannot_be_calculated_stops_no_other(client: httpx.Client, clock: Clock, source: str) -> None:
    put(client, f"{source}-of-nowhere")
    clock.run(f"UPDATE schedule SET zone = 'America/Nowhere' WHERE name = '{source}-of-nowhere'")
    moment = put(client, source)["next"]
    move_to(clock, moment)
    until(lambda: [job["id"] for job in jobs_of(client, source)] == [id_of(source, moment)])
    until(lambda: f"the schedule {source}-of-nowhere submits no jobs here" in clock.boss.log)


def test_a_put_replaces_it_and_a_delete_ends_it(client: httpx.Client, clock: Clock, source: str) -> None:
    put(client, source, zone="Europe/Oslo", missed="skip", job={"n": 1})
    second = put(client, source, cron="*/5 * * * *")
    assert client.get("/schedule").json()["schedules"] == [second]
    assert (second["zone"], second["missed"], second["job"], second["paused"]) == ("UTC", "run once", {}, False)
    assert client.delete(f"/schedule/{source}").status_code == 204
    put(client, f"{source}-beside")
    clock.move(600)
    until(lambda: bool(jobs_of(client, f"{source}-beside")))
    assert jobs_of(client, source) == []
    for method in ("GET", "DELETE", "POST"):
        assert_problem(client.request(method, f"/schedule/{source}"), 404, f"no schedule called {source}")


def test_its_document_keeps_every_digit(client: httpx.Client, source: str) -> None:
    body = f'{{"source": "{source}", "cron": "0 3 * * *", "job": {{"n": 12345678901234567890.123456789}}}}'
    assert client.put(f"/schedule/{source}", content=body).status_code == 200
    id = client.post(f"/schedule/{source}").json()["id"]
    assert '"n": 12345678901234567890.123456789' in client.get(f"/job/available/{source}/{id}").text
    assert '"n": 12345678901234567890.123456789' in client.get(f"/schedule/{source}").text


@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        ("fine", {"cron": "61 * * * *"}, "its minute is not possible"),
        ("fine", {"cron": 3}, "Expected a string, got a whole number"),
        ("fine", {"zone": "Europe/Olso"}, "did you mean Europe/Oslo?"),
        ("fine", {"source": "a,b"}, "cannot be a source"),
        ("fine", {"job": [1]}, "the job is an array"),
        ("fine", {"job": {"text": "\0"}}, "NUL"),
        ("fine", {"job": {"text": "x" * 70_000}}, "large"),
        ("fine", {"missed": "later"}, 'it takes "run once" or "skip"'),
        ("fine", {"pauzed": True}, "unknown field"),
        ("x" * 48, {}, "1 to 47 of the characters"),
        ("a%20b", {}, "1 to 47 of the characters"),
        ("%2e%2e", {}, "1 to 47 of the characters"),
    ],
)
def test_what_is_malformed_changes_nothing(client: httpx.Client, name: str, words: dict[str, Any], says: str) -> None:
    answer = client.put(f"/schedule/{name}", json={"source": "freg", "cron": "* * * * *", **words})
    assert answer.status_code in (400, 413), answer.text
    assert says.lower() in answer.json()["detail"].lower()
    assert client.get("/schedule").json()["schedules"] == []


class Asker(NamedTuple):
    """Somebody with a token of their own."""

    url: str
    token: str

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, f"{self.url}{path}", headers={"authorization": f"Bearer {self.token}"}, **options)


@pytest.fixture(scope="module")
def askers(postgres: str) -> Iterator[dict[str, Asker]]:
    for database in new_database(postgres):
        with boss_running("--database", database) as boss, boss.client() as client:
            admin = create(client, "admin", "admin")
            client.headers["authorization"] = f"Bearer {admin}"
            put(client, "mine")
            put(client, "theirs")
            tokens = {
                "admin": admin,
                "converter": create(client, "converter", "converter"),
                "submitter": create(client, "submitter", "submitter", sources=["mine"]),
            }
            yield {who: Asker(boss.url, token) for who, token in tokens.items()}


_ASKED = {"source": "mine", "cron": "0 3 * * *"}


@pytest.mark.parametrize("who", ["converter", "submitter"])
def test_only_admins_change_schedules(askers: dict[str, Asker], who: str) -> None:
    assert askers[who]("PUT", "/schedule/mine", json=_ASKED).status_code == 403
    assert askers[who]("POST", "/schedule/mine").status_code == 403
    assert askers[who]("DELETE", "/schedule/mine").status_code == 403


def test_readers_see_those_of_their_sources(askers: dict[str, Asker]) -> None:
    assert askers["converter"]("GET", "/schedule").status_code == 403
    assert askers["submitter"]("GET", "/schedule/mine").status_code == 200
    assert askers["submitter"]("GET", "/schedule/theirs").status_code == 403
    shown = askers["submitter"]("GET", "/schedule").json()["schedules"]
    assert [each["name"] for each in shown] == ["mine"]


def test_what_was_done_is_in_the_audit_log(askers: dict[str, Asker]) -> None:
    ask = askers["admin"]
    assert ask("PUT", "/schedule/brief", json=_ASKED).status_code == 200
    assert ask("POST", "/schedule/brief").status_code == 201
    assert ask("DELETE", "/schedule/brief").status_code == 204
    acts = ask("GET", "/audit").json()["acts"]
    assert [(act["by"], act["did"], act["what"]["schedule"]) for act in acts[:2]] == [
        ("admin", "deleted a schedule", "brief"),
        ("admin", "set a schedule", "brief"),
    ]
