"""The converters in docs/converters.md lose no work when Boss restarts, and when something on the way fails."""

import signal
import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.helpers.jobs import record
from tests.helpers.programs import Way, command, converting, way_to
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, boss_running, free_port

pytestmark = pytest.mark.slow

__all__ = ["command"]  # a fixture


@pytest.fixture
def way(module_boss: BossProcess) -> Iterator[Way]:
    with way_to(module_boss.port) as way:
        yield way


def outcome(client: httpx.Client, id: str) -> tuple[str, object, int]:
    shown = record(client, id)
    return shown["outcome"], shown["result"], shown["attempt"]


def hang_up_on_one(port: int) -> None:
    """Be on Boss's port while it is away, until somebody has asked."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        listening.settimeout(60)
        listening.accept()[0].close()


def test_a_job_that_ends_while_boss_is_away_is_done_once(command: list[str], database: str) -> None:
    port = free_port()
    with (
        boss_running("--database", database, port=port) as boss,
        boss.client() as client,
        converting(command, boss.url, "freg") as running,
    ):
        job = submit(client, "freg", '{"seconds": 2}')
        running.until(lambda: bool(record(client, job)["state"] == "active"))
        boss.kill()
        hang_up_on_one(port)
        with boss_running("--database", database, port=port):
            running.until(lambda: bool(record(client, job)["state"] == "done"))
            assert outcome(client, job) == ("completed", {"seconds": 2}, 1)
            following = submit(client, "freg", '{"seconds": 0}')
            running.until(lambda: bool(record(client, following)["state"] == "done"))
            assert outcome(client, following) == ("completed", {"seconds": 0}, 1)


@pytest.mark.parametrize("event", ["lose", 404, 502])
@pytest.mark.parametrize(
    ("document", "how", "result"),
    [
        ('{"seconds": 0}', "completed", {"seconds": 0}),
        ("{}", "failed", None),
        ('{"seconds": -1}', "given back", None),
    ],
    ids=["done", "given up", "given back"],
)
def test_its_end_is_sent_until_boss_has_heard_it(
    command: list[str],
    client: httpx.Client,
    way: Way,
    source: str,
    event: str | int,
    document: str,
    how: str,
    result: object,
) -> None:
    """Its answer is lost, or it is answered by something on the way."""
    way.ends = [event]
    with converting(command, way.url, source) as running:
        job = submit(client, source, document)
        running.until(lambda: ended(way) >= 2)
        following = submit(client, source, '{"seconds": 0}')
        running.until(lambda: bool(record(client, following)["state"] == "done"))
    shown = record(client, job)
    # What was given back may have been taken again by then.
    ended_first = shown["history"][0] if shown["history"] else {"how": shown["outcome"], "attempt": shown["attempt"]}
    assert [each.method for each in way.asked[:3]] in (["GET", "POST", "POST"], ["GET", "DELETE", "DELETE"])
    assert (ended_first["how"], ended_first["attempt"]) == (how, 1)
    assert shown["result"] == result if result else list(shown["result"]) == ["error"]


def ended(way: Way) -> int:
    """How many finishes and give-backs came."""
    return sum(each.method in ("POST", "DELETE") for each in way.asked)


def test_a_take_whose_answer_is_lost_is_sent_again(
    command: list[str], client: httpx.Client, way: Way, source: str
) -> None:
    way.takes = ["lose", 502, 404, ""]
    ids = [submit(client, source, '{"seconds": 0}') for _ in range(3)]
    with converting(command, way.url, source) as running:
        running.until(lambda: client.get("/job").json()["done"].get(source) == 3)
    assert [outcome(client, id) for id in ids] == [("completed", {"seconds": 0}, 1)] * 3
    keys = [each.key for each in way.asked if each.method == "GET"]
    # Four times the same, until there is a job; then each has its own.
    assert None not in keys
    assert len(set(keys[:4])) == 1
    assert len(set(keys[3:6])) == 3


@pytest.mark.parametrize("event", ["spoil", 413])
def test_a_result_that_is_refused_does_not_run_the_job_again(
    command: list[str], client: httpx.Client, way: Way, source: str, event: str | int
) -> None:
    way.ends = [event]
    with converting(command, way.url, source) as running:
        job = submit(client, source, '{"seconds": 0}')
        following = submit(client, source, '{"seconds": 0}')
        running.until(lambda: client.get("/job").json()["done"].get(source) == 2)
    status = 413 if event == 413 else 400
    assert outcome(client, job) == ("completed", {"error": f"Boss refused the result: {status}"}, 1)
    assert outcome(client, following) == ("completed", {"seconds": 0}, 1)
    assert ended(way) == 3


def test_it_works_without_a_lease(command: list[str], database: str) -> None:
    with (
        boss_running("--database", database, "--lease", "0") as boss,
        boss.client() as client,
        way_to(boss.port) as way,
    ):
        with converting(command, way.url, "freg") as running:
            job = submit(client, "freg", '{"seconds": 3}')
            running.until(lambda: bool(record(client, job)["state"] == "done"))
            assert outcome(client, job) == ("completed", {"seconds": 3}, 1)
        # It is checked each minute, and not all the time.
        assert [each for each in way.asked if each.method == "HEAD"] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stopped_it_gives_its_job_back_uncounted(
    command: list[str], client: httpx.Client, source: str, number: signal.Signals
) -> None:
    if "Rscript" in command[0]:
        pytest.skip("R ends at once; the page says so")
    job = submit(client, source, '{"seconds": 600}')
    with converting(command, str(client.base_url), source) as running:
        running.until(lambda: bool(record(client, job)["state"] == "active"))
        running.process.send_signal(number)
        running.process.wait(60)
    shown = record(client, job)
    assert (shown["state"], shown["due"]) == ("available", None)
    assert [(each["how"], each["uncounted"]) for each in shown["history"]] == [("given back", True)]
