"""The converter that the design describes, word for word."""

import httpx
import pytest

from tests.helpers.clock import Clock
from tests.helpers.jobs import record
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess


@pytest.fixture
def module_boss(clock: Clock) -> BossProcess:
    """The Boss that goes by the clock, for the fixture `client`."""
    return clock.boss


class Converter:
    """One that knows the design's four steps, and nothing else."""

    def __init__(self, client: httpx.Client, source: str) -> None:
        self._client = client
        self._source = source
        self.job: dict[str, str] = {}

    def poll(self) -> bool:
        """Step 1: poll for an available job."""
        answer = self._client.get(f"/job/available/{self._source}")
        self.job = answer.json() if answer.status_code == 200 else {}
        return bool(self.job)

    def is_active(self) -> bool:
        """Step 2: when doing a job, routinely check if it is still active."""
        return self._client.head(f"/job/active/{self._source}/{self.job['id']}").status_code == 200

    def done(self) -> bool:
        """Step 4: when the job is done, notify Boss."""
        return self._client.post(f"/job/done/{self._source}/{self.job['id']}").status_code == 200


class TestConverterByTheDesign:
    def test_it_keeps_its_job_for_as_long_as_it_checks(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source)
        converter, other = Converter(client, source), Converter(client, source)
        assert converter.poll()
        for _ in range(50):
            clock.move(500)
            assert converter.is_active()
            assert not other.poll()
        assert converter.done()
        assert record(client, id)["attempt"] == 1

    def test_when_it_dies_another_gets_its_job(self, client: httpx.Client, source: str, clock: Clock) -> None:
        id = submit(client, source)
        dead, other = Converter(client, source), Converter(client, source)
        assert dead.poll()
        clock.move(600)
        assert other.poll()
        assert other.is_active()
        assert other.done()
        shown = record(client, id)
        assert (shown["attempt"], shown["outcome"]) == (2, "completed")

    def test_when_it_was_only_slow_it_learns_so_and_stops(
        self, client: httpx.Client, source: str, clock: Clock
    ) -> None:
        submit(client, source)
        slow = Converter(client, source)
        assert slow.poll()
        clock.move(600)
        assert not slow.is_active()
        assert slow.poll(), "back at step 1 it is the next taker itself"
        assert slow.done()

    def test_when_its_job_is_stopped_it_learns_so(self, client: httpx.Client, source: str) -> None:
        id = submit(client, source)
        converter = Converter(client, source)
        assert converter.poll()
        client.post(f"/job/done/{source}/{id}?outcome=stopped")
        assert not converter.is_active()
        assert not converter.done()
