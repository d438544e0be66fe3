"""Log lines about refused clients: there are few lines, however many refusals."""

import pytest

from boss.http.refusals import Refusals


def test_one_line_a_second_for_each_kind_and_address(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    for _ in range(50):
        for status in (401, 403):
            for address in ("10.0.0.1", "10.0.0.2"):
                refusals.note(status, "name", address)
    assert len(caplog.records) == 4


def test_a_flood_from_everywhere_fills_neither_log_nor_memory(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    for number in range(20_000):
        refusals.note(403, None, f"2001:db8::{number:x}")
    assert len(caplog.records) <= 2000  # a second may have passed meanwhile
    assert len(refusals._logged) <= 1000
