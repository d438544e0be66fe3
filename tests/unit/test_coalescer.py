"""The one idea: who waits is served by the next statement, and by nobody's mistake but their own."""

import asyncio
from collections.abc import Sequence

import pytest

from boss.coalescer import Coalescer
from boss.errors import BadInput


class Statement:
    """A statement that the test lets go on; it keeps what it was asked for, and answers each with its double."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.under_way = 0
        self.committed: set[int] = set()
        self._gate = asyncio.Semaphore(0)

    async def __call__(self, requests: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(requests))
        self.under_way += 1
        assert self.under_way == 1, "two statements under way at once"
        await self._gate.acquire()
        self.under_way -= 1
        if any(request < 0 for request in requests):
            raise BadInput("negative")
        if any(request == 13 for request in requests):
            raise RuntimeError("thirteen")
        self.committed |= set(requests)
        return [ValueError("seven") if request == 7 else request * 2 for request in requests]

    def let_go(self, statements: int = 1) -> None:
        for _ in range(statements):
            self._gate.release()


async def settle() -> None:
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def statement() -> Statement:
    return Statement()


def ask(coalescer: Coalescer[int, int], *requests: int) -> "list[asyncio.Task[int]]":
    return [asyncio.create_task(coalescer(request)) for request in requests]


async def test_one_statement_under_way_serves_all_who_came_meanwhile(statement: Statement) -> None:
    coalescer = Coalescer(statement, most=100)
    first = ask(coalescer, 1)
    await settle()
    others = ask(coalescer, 2, 3, 4)
    await settle()
    assert statement.batches == [[1]]  # it started at once, and alone
    statement.let_go(2)
    assert await asyncio.gather(*first, *others) == [2, 4, 6, 8]
    assert statement.batches == [[1], [2, 3, 4]]


async def test_nothing_is_answered_before_commit(statement: Statement) -> None:
    coalescer = Coalescer(statement, most=100)
    [task] = ask(coalescer, 1)
    await settle()
    assert not task.done()
    assert statement.committed == set()
    statement.let_go()
    await task
    assert statement.committed == {1}


async def test_an_idle_coalescer_starts_again(statement: Statement) -> None:
    coalescer = Coalescer(statement, most=100)
    for request in (1, 2):
        statement.let_go()
        assert await coalescer(request) == request * 2


async def test_an_error_stays_with_its_statement(statement: Statement) -> None:
    coalescer = Coalescer(statement, most=100)
    good = ask(coalescer, 1)
    await settle()
    doomed = ask(coalescer, 13, 2)
    await settle()
    statement.let_go(1)
    await settle()
    after = ask(coalescer, 3)
    statement.let_go(2)
    assert await asyncio.gather(*good, *after) == [2, 6]
    for task in doomed:
        with pytest.raises(RuntimeError, match="thirteen"):
            await task


async def test_a_bad_request_never_harms_its_neighbours(statement: Statement) -> None:
    coalescer = Coalescer(statement, most=100)
    statement.let_go(10)
    answers = await asyncio.gather(*ask(coalescer, 1, -1, 2, -2, 3), return_exceptions=True)
    assert [answers[0], answers[2], answers[4]] == [2, 4, 6]
    assert isinstance(answers[1], BadInput)
    assert isinstance(answers[3], BadInput)


async def test_one_bad_request_among_64_costs_its_neighbours_a_dozen_statements(statement: Statement) -> None:
    coalescer = Coalescer(statement, most=100)
    statement.let_go(100)
    answers = await asyncio.gather(*ask(coalescer, *range(100, 140), -1, *range(140, 163)), return_exceptions=True)
    assert [answer for answer in answers if not isinstance(answer, BadInput)] == [2 * each for each in range(100, 163)]
    assert len(statement.batches) == 1 + 2 * 6


async def test_an_answer_that_is_an_exception_is_raised_to_its_requester_alone(statement: Statement) -> None:
    coalescer = Coalescer(statement, most=100)
    statement.let_go()
    answers = await asyncio.gather(*ask(coalescer, 1, 7, 2), return_exceptions=True)
    assert [answers[0], answers[2]] == [2, 4]
    assert isinstance(answers[1], ValueError)


async def test_who_is_cancelled_while_waiting_is_dropped_from_the_statement(statement: Statement) -> None:
    coalescer = Coalescer(statement, most=100)
    first = ask(coalescer, 1)
    await settle()
    gone, stays = ask(coalescer, 2, 3)
    await settle()
    gone.cancel()
    await settle()
    statement.let_go(2)
    assert await asyncio.gather(*first, stays) == [2, 6]
    assert statement.batches == [[1], [3]]


async def test_who_is_cancelled_during_the_statement_harms_nobody(statement: Statement) -> None:
    coalescer = Coalescer(statement, most=100)
    gone, stays = ask(coalescer, 1, 2)
    await settle()
    gone.cancel()
    await settle()
    statement.let_go(2)
    assert await stays == 4
    assert await coalescer(3) == 6


async def test_a_batch_ends_when_it_is_full_and_order_is_kept(statement: Statement) -> None:
    coalescer = Coalescer(statement, most=10, weigh=lambda request: request)
    statement.let_go(10)
    assert await asyncio.gather(*ask(coalescer, 4, 5, 6, 50, 1)) == [8, 10, 12, 100, 2]
    assert statement.batches == [[4, 5], [6], [50], [1]]


async def test_a_later_request_with_the_same_key_waits_for_the_next_statement(statement: Statement) -> None:
    coalescer = Coalescer(statement, most=100, key=lambda request: request % 10)
    statement.let_go(10)
    assert await asyncio.gather(*ask(coalescer, 1, 11, 2, 21, 12)) == [2, 22, 4, 42, 24]
    assert statement.batches == [[1, 2], [11, 12], [21]]


async def test_an_answer_whose_requester_was_cancelled_is_unclaimed(statement: Statement) -> None:
    on_abandoned: list[int] = []
    coalescer: Coalescer[int, int] = Coalescer(statement, most=1, on_abandoned=on_abandoned.append)
    first, second, third = ask(coalescer, 1, 2, 7)
    await settle()
    first.cancel()  # under way
    second.cancel()  # not yet: it is dropped
    statement.let_go(2)
    with pytest.raises(ValueError, match="seven"):
        await third
    assert statement.batches == [[1], [7]]
    assert on_abandoned == [2]


async def test_nor_is_it_lost_when_the_requester_is_cancelled_just_as_it_comes() -> None:
    on_abandoned: list[int] = []

    async def statement(requests: Sequence[int]) -> list[int | Exception]:
        # This runs after the answer was set, and before the task that waits for it goes on.
        asyncio.get_running_loop().call_soon(task.cancel)
        return list(requests)

    task = asyncio.create_task(Coalescer(statement, most=1, on_abandoned=on_abandoned.append)(5))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert on_abandoned == [5]
