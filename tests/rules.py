"""Parts of Boss in tests that are held to nothing."""

from collections.abc import Callable, Coroutine

from boss.database import Pool
from boss.dispatcher import Dispatcher
from boss.handouts import Handouts
from boss.line import Line
from boss.marks import Marks
from boss.rules import Rules
from boss.taking import Taking


def no_rules(pool: Pool) -> Rules:
    """The rules of no source, and queues of any length."""
    return Rules(pool, 10**9, lambda: None)


def dispatcher_over(
    pool: Pool, line: Line, marks: Marks, announce: Callable[[], Coroutine[None, None, bool]]
) -> Dispatcher:
    """A dispatcher over these, without rules."""
    rules = no_rules(pool)
    return Dispatcher(
        pool, line, rules, Taking(pool, line, Handouts(pool, marks, rules), rules, announce, most_waiting=1000)
    )
