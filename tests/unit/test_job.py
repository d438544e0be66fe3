"""Names of jobs: which are accepted, and which are generated."""

import time

import pytest
from ulid import ULID

from boss.errors import BadInput
from boss.model.ids import new_id
from boss.model.job import check_id, check_source


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "x" * 100])
def test_a_source_is_taken(name: str) -> None:
    assert check_source(name) == name


@pytest.mark.parametrize("name", ["", "x" * 101, "a b", "a/b", "é", "a\n", "a~b", "\0", "٣"])
def test_what_cannot_be_a_source_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="1 to 100 of A-Z"):
        check_source(name)


@pytest.mark.parametrize("name", ["e80b99fd-1dc6-40e9-9719-77b0fbab768b", "freg-2026-11-24", "a~b", "x" * 64, "."])
def test_an_id_is_taken(name: str) -> None:
    assert check_id(name) == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a%20b", "é", "a\n"])
def test_what_cannot_be_an_id_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="1 to 64 of A-Z"):
        check_id(name)


def test_generated_ids_increase_also_within_a_millisecond_and_when_the_clock_is_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = [new_id() for _ in range(1000)]
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now - 3600 * 10**9)
    ids += [new_id() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert {len(id) for id in ids} == {26}


def test_a_generated_id_is_a_ulid_of_now() -> None:
    before = time.time_ns() // 1_000_000
    made = ULID.from_str(new_id()).milliseconds
    assert before <= made <= time.time_ns() // 1_000_000
