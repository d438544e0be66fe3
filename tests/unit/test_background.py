"""What goes on in the background ends with its block, whatever becomes of a cancellation."""

import asyncio
from contextlib import suppress

import pytest

from boss.http.background import in_background


async def test_a_cancellation_that_gets_lost_comes_again() -> None:
    rounds = 0

    async def duty() -> None:
        nonlocal rounds
        while rounds < 2:
            rounds += 1
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        await asyncio.sleep(60)

    async with asyncio.timeout(20):
        async with in_background(duty()):
            await asyncio.sleep(0)
    assert rounds == 2


async def test_what_ends_by_an_error_says_so() -> None:
    async def duty() -> None:
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        async with in_background(duty()):
            await asyncio.sleep(0.01)
