"""The line of takers that wait: the oldest first, one for each job, and nobody forgotten."""

import asyncio
from collections import Counter
from typing import ClassVar

import pytest

from boss.dispatch.wait_queue import Line
from boss.errors import Draining


class Taker:
    """Somebody in the line: what they waited for, and in which turn they were woken."""

    woken: ClassVar[list[str]] = []

    def __init__(self, line: Line, name: str, source: str | None, limit: int = 1, patience: float = 60) -> None:
        self.name = name
        self.task = asyncio.create_task(self._wait(line, source, limit, patience))

    async def _wait(self, line: Line, source: str | None, limit: int, patience: float) -> bool:
        with line.joined(None if source is None else (source,), limit) as place:
            woken = await line.sleep(place, asyncio.get_running_loop().time() + patience)
            if woken:
                self.woken.append(self.name)
            return woken


@pytest.fixture
async def line() -> Line:
    Taker.woken = []
    return Line()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_job_wakes_the_oldest_and_nobody_else(line: Line) -> None:
    takers = [Taker(line, str(number), "freg") for number in range(1000)]
    await settle()
    line.announce({"freg": 1})
    await settle()
    assert Taker.woken == ["0"]
    line.announce({"freg": 3})
    await settle()
    assert Taker.woken == ["0", "1", "2", "3"]
    assert line.waiting == 996
    for taker in takers:
        taker.task.cancel()
    await settle()
    assert line.waiting == 0
    assert line.takers() == Counter()


async def test_those_of_any_source_stand_in_the_same_line(line: Line) -> None:
    for number, source in enumerate(["freg", None, "other", "freg", None]):
        Taker(line, f"{number} {source}", source)
    await settle()
    assert line.takers() == Counter({"freg": 2, None: 2, "other": 1})
    line.announce({"freg": 3})
    await settle()
    assert Taker.woken == ["0 freg", "1 None", "3 freg"]
    line.announce({"unknown": 5})
    await settle()
    assert Taker.woken[3:] == ["4 None"]
    assert line.unheard == 1
    assert line.is_waited_for(("other",))
    assert not line.is_waited_for(("freg",))
    # Jobs of freg may be there, and nobody would look.
    assert not line.is_waited_for(("freg", "other"))
    assert not line.is_waited_for(None)
    line.announce({"other": 1})


async def test_who_takes_many_is_enough_for_many(line: Line) -> None:
    Taker(line, "many", "freg", limit=10)
    Taker(line, "one", "freg")
    await settle()
    line.announce({"freg": 10})
    await settle()
    assert Taker.woken == ["many"]
    line.announce({"freg": 1})


async def test_who_finds_nothing_goes_back_to_their_place(line: Line) -> None:
    with line.joined(("freg",), 1) as place:
        first = asyncio.create_task(line.sleep(place, asyncio.get_running_loop().time() + 60))
        await settle()
        Taker(line, "second", "freg")
        await settle()
        line.announce({"freg": 1})
        assert await first
        again = asyncio.create_task(line.sleep(place, asyncio.get_running_loop().time() + 60))
        await settle()
        line.announce({"freg": 1})
        assert await again
        assert Taker.woken == []
    line.announce({"freg": 1})
    await settle()
    assert Taker.woken == ["second"]


async def test_who_leaves_after_being_woken_passes_it_on(line: Line) -> None:
    first, _ = Taker(line, "first", "freg"), Taker(line, "second", None)
    await settle()
    line.announce({"freg": 1})
    first.task.cancel()
    await settle()
    assert Taker.woken == ["second"]
    assert first.task.cancelled()


async def test_who_has_left_is_not_woken(line: Line) -> None:
    first, _ = Taker(line, "first", "freg"), Taker(line, "second", "freg")
    await settle()
    first.task.cancel()
    await settle()
    line.announce({"freg": 1})
    await settle()
    assert Taker.woken == ["second"]


async def test_nobody_waits_for_longer_than_they_said(line: Line) -> None:
    hasty, patient = Taker(line, "hasty", "freg", patience=0), Taker(line, "patient", "freg")
    assert await hasty.task is False
    line.announce({"freg": 1})
    assert await patient.task is True
    assert line.takers() == Counter()


async def test_when_it_closes_all_are_sent_away(line: Line) -> None:
    takers = [Taker(line, str(number), None) for number in range(3)]
    await settle()
    line.close()
    for taker in [*takers, Taker(line, "late", None)]:
        with pytest.raises(Draining):
            await taker.task
