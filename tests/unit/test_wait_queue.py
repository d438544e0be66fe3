"""The wait queue: the oldest taker first, one for each job, and none forgotten."""

import asyncio
from collections import Counter
from typing import ClassVar

import pytest

from boss.dispatch.wait_queue import WaitQueue
from boss.errors import Draining


class Taker:
    """A taker in the queue: what they waited for, and in which turn they were woken."""

    woken: ClassVar[list[str]] = []

    def __init__(
        self, wait_queue: WaitQueue, name: str, source: str | None, limit: int = 1, patience: float = 60
    ) -> None:
        self.name = name
        self.task = asyncio.create_task(self._wait(wait_queue, source, limit, patience))

    async def _wait(self, wait_queue: WaitQueue, source: str | None, limit: int, patience: float) -> bool:
        with wait_queue.joined(None if source is None else (source,), limit) as waiter:
            woken = await wait_queue.sleep(waiter, asyncio.get_running_loop().time() + patience)
            if woken:
                self.woken.append(self.name)
            return woken


@pytest.fixture
async def wait_queue() -> WaitQueue:
    Taker.woken = []
    return WaitQueue()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_job_wakes_the_oldest_and_nobody_else(wait_queue: WaitQueue) -> None:
    takers = [Taker(wait_queue, str(number), "freg") for number in range(1000)]
    await settle()
    wait_queue.announce({"freg": 1})
    await settle()
    assert Taker.woken == ["0"]
    wait_queue.announce({"freg": 3})
    await settle()
    assert Taker.woken == ["0", "1", "2", "3"]
    assert wait_queue.waiting == 996
    for taker in takers:
        taker.task.cancel()
    await settle()
    assert wait_queue.waiting == 0
    assert wait_queue.demand() == Counter()


async def test_those_of_any_source_stand_in_the_same_line(wait_queue: WaitQueue) -> None:
    for number, source in enumerate(["freg", None, "other", "freg", None]):
        Taker(wait_queue, f"{number} {source}", source)
    await settle()
    assert wait_queue.demand() == Counter({"freg": 2, None: 2, "other": 1})
    wait_queue.announce({"freg": 3})
    await settle()
    assert Taker.woken == ["0 freg", "1 None", "3 freg"]
    wait_queue.announce({"unknown": 5})
    await settle()
    assert Taker.woken[3:] == ["4 None"]
    assert wait_queue.missed == 1
    assert wait_queue.is_waited_for(("other",))
    assert not wait_queue.is_waited_for(("freg",))
    # Jobs of freg may be there, and nobody would look.
    assert not wait_queue.is_waited_for(("freg", "other"))
    assert not wait_queue.is_waited_for(None)
    wait_queue.announce({"other": 1})


async def test_who_takes_many_is_enough_for_many(wait_queue: WaitQueue) -> None:
    Taker(wait_queue, "many", "freg", limit=10)
    Taker(wait_queue, "one", "freg")
    await settle()
    wait_queue.announce({"freg": 10})
    await settle()
    assert Taker.woken == ["many"]
    wait_queue.announce({"freg": 1})


async def test_who_finds_nothing_goes_back_to_their_place(wait_queue: WaitQueue) -> None:
    with wait_queue.joined(("freg",), 1) as waiter:
        first = asyncio.create_task(wait_queue.sleep(waiter, asyncio.get_running_loop().time() + 60))
        await settle()
        Taker(wait_queue, "second", "freg")
        await settle()
        wait_queue.announce({"freg": 1})
        assert await first
        again = asyncio.create_task(wait_queue.sleep(waiter, asyncio.get_running_loop().time() + 60))
        await settle()
        wait_queue.announce({"freg": 1})
        assert await again
        assert Taker.woken == []
    wait_queue.announce({"freg": 1})
    await settle()
    assert Taker.woken == ["second"]


async def test_who_leaves_after_being_woken_passes_it_on(wait_queue: WaitQueue) -> None:
    first, _ = Taker(wait_queue, "first", "freg"), Taker(wait_queue, "second", None)
    await settle()
    wait_queue.announce({"freg": 1})
    first.task.cancel()
    await settle()
    assert Taker.woken == ["second"]
    assert first.task.cancelled()


async def test_who_has_left_is_not_woken(wait_queue: WaitQueue) -> None:
    first, _ = Taker(wait_queue, "first", "freg"), Taker(wait_queue, "second", "freg")
    await settle()
    first.task.cancel()
    await settle()
    wait_queue.announce({"freg": 1})
    await settle()
    assert Taker.woken == ["second"]


async def test_nobody_waits_for_longer_than_they_said(wait_queue: WaitQueue) -> None:
    hasty, patient = Taker(wait_queue, "hasty", "freg", patience=0), Taker(wait_queue, "patient", "freg")
    assert await hasty.task is False
    wait_queue.announce({"freg": 1})
    assert await patient.task is True
    assert wait_queue.demand() == Counter()


async def test_when_it_closes_all_are_sent_away(wait_queue: WaitQueue) -> None:
    takers = [Taker(wait_queue, str(number), None) for number in range(3)]
    await settle()
    wait_queue.close()
    for taker in [*takers, Taker(wait_queue, "late", None)]:
        with pytest.raises(Draining):
            await taker.task
