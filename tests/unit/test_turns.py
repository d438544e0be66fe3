"""Coalescers take turns: one statement under way at a time, each kind in turn, and no kind waits for a slow one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from boss.coalescer import Coalescer, Turns
from boss.errors import BadInput


class Database:
    """Statements of several kinds that the test lets go on, one at a time."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, list[int]]] = []
        self.under_way: list[str] = []
        self._gates: dict[str, asyncio.Semaphore] = {}

    def statement(self, kind: str) -> Callable[[Sequence[int]], Awaitable[list[int | Exception]]]:
        gate = self._gates[kind] = asyncio.Semaphore(0)

        async def run(requests: Sequence[int]) -> list[int | Exception]:
            self.begun.append((kind, list(requests)))
            self.under_way.append(kind)
            try:
                await gate.acquire()
            finally:
                self.under_way.remove(kind)
            if any(request < 0 for request in requests):
                raise BadInput("negative")
            return list(requests)

        return run

    def let_go(self, kind: str, statements: int = 1) -> None:
        for _ in range(statements):
            self._gates[kind].release()


async def settle() -> None:
    """Let everything that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


def ask(coalescer: Coalescer[int, int], *requests: int) -> "list[asyncio.Task[int]]":
    return [asyncio.create_task(coalescer(request)) for request in requests]


def kinds(database: Database, *names: str, slow: float = 60) -> list[Coalescer[int, int]]:
    turns = Turns(slow)
    return [Coalescer(database.statement(name), most=100, turns=turns) for name in names]


async def test_kinds_come_in_turn_and_one_statement_is_under_way() -> None:
    database = Database()
    submits, takes, finishes = kinds(database, "submit", "take", "finish")
    asked = ask(submits, 1)
    await settle()
    asked += ask(finishes, 2) + ask(submits, 3, 4) + ask(takes, 5)
    await settle()
    assert database.under_way == ["submit"]
    for kind in ("submit", "finish", "take"):
        database.let_go(kind)
        await settle()
        asked += ask(takes, 6) if kind == "finish" else []
        assert len(database.under_way) == 1
    database.let_go("submit")
    database.let_go("take")
    assert await asyncio.gather(*asked) == [1, 2, 3, 4, 5, 6]
    assert database.begun == [("submit", [1]), ("finish", [2]), ("take", [5]), ("submit", [3, 4]), ("take", [6])]


async def test_a_kind_that_never_rests_does_not_keep_another_from_its_turn() -> None:
    database = Database()
    submits, takes = kinds(database, "submit", "take")
    asked = ask(submits, *range(300))  # three batches
    await settle()
    asked += ask(takes, 7)
    await settle()
    database.let_go("submit", 3)
    database.let_go("take")
    await asyncio.gather(*asked)
    assert [kind for kind, _ in database.begun] == ["submit", "take", "submit", "submit"]


async def test_a_slow_statement_keeps_only_its_own_kind_waiting() -> None:
    database = Database()
    submits, takes, finishes = kinds(database, "submit", "take", "finish", slow=0.01)
    slow = ask(finishes, 1)
    await settle()
    behind = ask(finishes, 2)
    database.let_go("submit", 10)
    database.let_go("take", 10)
    for number in range(5):
        assert await asyncio.gather(*ask(submits, number), *ask(takes, number)) == [number, number]
    assert database.under_way == ["finish"]
    database.let_go("finish", 2)
    assert await asyncio.gather(*slow, *behind) == [1, 2]
    assert [requests for kind, requests in database.begun if kind == "finish"] == [[1], [2]]
    # Together again: who was slow before has lost nothing but that turn.
    assert await asyncio.gather(*ask(submits, 9), *ask(takes, 9)) == [9, 9]


async def test_whatever_becomes_of_a_statement_the_next_kind_has_its_turn() -> None:
    database = Database()
    submits, takes = kinds(database, "submit", "take")
    bad, gone = ask(submits, -1), ask(submits, 2)
    waiting = ask(takes, 3)
    await settle()
    gone[0].cancel()
    database.let_go("submit", 10)
    database.let_go("take", 10)
    assert await asyncio.gather(*waiting) == [3]
    [answer] = await asyncio.gather(*bad, return_exceptions=True)
    assert isinstance(answer, BadInput)


async def test_settled_is_who_has_nothing_under_way_not_even_a_slow_one() -> None:
    database = Database()
    submits, takes = kinds(database, "submit", "take", slow=0.01)
    slow = ask(submits, 1)
    database.let_go("take")
    await settle()
    assert await asyncio.gather(*ask(takes, 2)) == [2]
    settled = asyncio.create_task(takes.settle())
    await settle()
    assert not settled.done()
    database.let_go("submit")
    await settled
    assert slow[0].done()
