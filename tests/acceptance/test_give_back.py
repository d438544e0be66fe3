"""Giving jobs back: which attempts count, and how soon the job is available again, with a clock that the test moves."""

import httpx
import pytest

from tests.helpers.clock import Clock
from tests.helpers.jobs import record, seconds, take
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess


@pytest.fixture
def module_boss(clock: Clock) -> BossProcess:
    """The Boss that goes by the clock, for the fixture `client`."""
    return clock.boss


class TestUncounted:
    """`?uncounted=1`: the attempt is none of those that the job may have."""

    def test_as_many_are_left_as_before(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source, attempts=1)
        for attempt in range(1, 6):
            assert take(client, source).headers["etag"] == f'"{attempt}"'
            answer = client.delete(f"/job/active/{source}/{id}?uncounted=1")
            assert (answer.status_code, answer.headers["boss-state"]) == (204, "available")
            assert record(client, id)["attempts"] == attempt + 1
        assert [(each["how"], each["uncounted"]) for each in record(client, id)["history"]] == [
            ("given back", True)
        ] * 5
        take(client, source)
        assert client.delete(f"/job/active/{source}/{id}").headers["boss-state"] == "done"

    def test_it_comes_back_at_once_or_when_it_says(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source)
        take(client, source)
        assert client.delete(f"/job/active/{source}/{id}?uncounted=1&delay=60").status_code == 204
        assert client.get(f"/job/available/{source}").status_code == 404
        clock.move(61)
        take(client, source)

    def test_nobody_else_loses_the_job_by_it(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        first = take(client, source).headers["etag"]
        client.delete(f"/job/active/{source}/{id}?uncounted=1")
        take(client, source)
        path = f"/job/active/{source}/{id}?uncounted=1"
        assert_problem(client.delete(path, headers={"if-match": first}), 412, "attempt 1")
        assert record(client, id)["attempts"] == 26

    @pytest.mark.parametrize("value", ["", "yes", "2"])
    def test_it_is_1_or_0(self, client: httpx.Client, source: str, value: str) -> None:
        id = submit(client, source)
        take(client, source)
        path = f"/job/active/{source}/{id}?uncounted={value}"
        assert_problem(client.delete(path), 400, r"The uncounted is .* it takes a whole number from 0 to 1")


class TestNoRest:
    """A converter that fails at once and asks for no rest must not use up all attempts within seconds."""

    @pytest.mark.parametrize("delay", ["0", "0.5"])
    def test_the_third_in_a_row_rests_for_a_second(
        self, client: httpx.Client, source: str, delay: str, clock: Clock
    ) -> None:
        id = submit(client, source)
        for number in range(5):
            take(client, source)
            client.delete(f"/job/active/{source}/{id}?delay={delay}")
            shown = record(client, id)
            if number < 2:
                assert shown["due"] is None or seconds(shown["due"], shown["history"][-1]["ended"]) < 1
            else:
                assert 0.99 < seconds(shown["due"], shown["history"][-1]["ended"]) < 1.1
            clock.move(1.2)

    def test_one_that_is_not_counted_changes_nothing(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source)
        for query in ("", "&uncounted=1", "", "&uncounted=1"):
            take(client, source)
            client.delete(f"/job/active/{source}/{id}?delay=0{query}")
        take(client, source)
        client.delete(f"/job/active/{source}/{id}?delay=0")
        assert record(client, id)["due"] is not None
        clock.move(2)
        take(client, source)

    def test_one_that_rests_begins_a_new_row(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source)
        for delay in ("0", "0", "5", "0", "0"):
            take(client, source)
            client.delete(f"/job/active/{source}/{id}?delay={delay}")
            clock.move(6)
        assert record(client, id)["attempt"] == 5
        take(client, source)
        client.delete(f"/job/active/{source}/{id}?uncounted=1")
        take(client, source)


def test_the_history_keeps_the_beginning_and_the_end_of_a_long_reason(client: httpx.Client, source: str) -> None:
    """What a Python exception says stands at the end, of which a traceback may have lost its first line."""
    id = submit(client, source)
    frames = "".join(f'  File "convert.py", line {line}, in convert\n' for line in range(30))
    for error in (f"{frames}KeyError: 7", f"disk full {'x' * 600}"):
        take(client, source)
        client.request("DELETE", f"/job/active/{source}/{id}?delay=0", json={"error": error}).raise_for_status()
    take(client, source)
    client.post(
        f"/job/done/{source}/{id}?outcome=failed", json={"error": f"log\n{frames}OSError: 8"}
    ).raise_for_status()
    client.post(f"/job/available/{source}/{id}?from=done").raise_for_status()
    reasons = [each["why"] for each in record(client, id)["history"]]
    assert [(len(why), why[:9], why[-10:]) for why in reasons] == [
        (500, '  File "c', "eyError: 7"),
        (500, "disk full", "x" * 10),
        (500, "log\n  Fil", "OSError: 8"),
    ]
    assert all(" ... " in why for why in reasons)
