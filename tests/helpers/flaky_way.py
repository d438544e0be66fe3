"""A proxy to a Boss that loses responses: when told to, it closes the connection instead of passing the response on."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator


class FlakyWay:
    """A proxy to a port of this machine.

    Attributes:
        port: its port.
        lose: how many responses it loses from now on; Boss does carry out these requests.
        hold: while true, it keeps responses back.
    """

    def __init__(self, to: int) -> None:
        self._to = to
        self.port = 0
        self.lose = 0
        self.hold = False

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection("127.0.0.1", self._to)

        async def there() -> None:
            while data := await reader.read(1 << 16):
                requests.write(data)
            requests.close()

        passing = asyncio.create_task(there())
        try:
            await self._pass_back(answers, writer)
        finally:
            passing.cancel()
            requests.close()
            writer.close()

    async def _pass_back(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await answers.read(1 << 16):
                if self.lose:
                    self.lose -= 1
                    break
                while self.hold:  # noqa: ASYNC110 (set from another thread)
                    await asyncio.sleep(0.02)
                writer.write(data)


@contextlib.contextmanager
def flaky_way(to: int) -> Iterator[FlakyWay]:
    """Run a proxy to this port, in a thread of its own."""
    way, ready, over = FlakyWay(to), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with await way.start():
            ready.set()
            await over.wait()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    yield way
    loop.call_soon_threadsafe(over.set)
    thread.join()
    loop.close()
