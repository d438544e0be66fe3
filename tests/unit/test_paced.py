"""Values that are read again no more often than it is worth."""

import asyncio

from boss.dispatch.overview import Paced


async def test_what_takes_long_is_read_rarely() -> None:
    reads = 0

    async def read(seconds: float) -> int:
        nonlocal reads
        reads += 1
        await asyncio.sleep(seconds)
        return reads

    slow, quick = Paced(lambda: read(0.01), 0), Paced(lambda: read(0), 0)
    assert [await slow() for _ in range(3)] == [1, 1, 1]
    assert await slow.fresh() == 2
    assert await slow() == 2
    seen = {await quick()}
    while len(seen) < 3:
        await asyncio.sleep(0)
        seen.add(await quick())
