"""A body that is too large is read before it is refused, for a proxy that still sends it would answer 502."""

import pytest

from boss.settings import Settings
from tests.helpers.servers import BossProcess
from tests.helpers.wire import Wire


@pytest.mark.parametrize("more", [1, 100_000, 20_000_000])
@pytest.mark.parametrize("path", ["/job/available/freg", "/job/done/freg/none"])
def test_the_connection_goes_on(module_boss: BossProcess, path: str, more: int) -> None:
    with Wire(module_boss.port) as wire:
        refused = wire.request("POST", path, body=b"x" * (Settings.max_document + more)).reply()
        assert (refused.status, "connection" in refused.headers) == (413, False)
        assert wire.request("GET", "/health/live").reply().status == 200
