"""A client of Boss for asyncio, over HTTP only; sync_client.py is the same for code without async.

It retries requests that are safe to repeat, for as long as its patience lasts. Its takes name the converter by host and
process. It raises errors of errors.py.
"""

import asyncio
import contextlib
import json
import os
import re
import socket
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Self

from boss.client.answers import check
from boss.client.checks import Checks
from boss.client.job import AsyncJob
from boss.client.requests import NDJSON, address, finish_line
from boss.client.transport import Connection
from boss.client.verbs import MOST_BYTES, MOST_LINES, Verbs
from boss.coalescer import Coalescer
from boss.errors import BossError
from boss.model.job import Finish, State

# How long a cancelled take may go on to give back the jobs that it got, in seconds. When Boss answers, that takes no
# time.
_CLOSE_TIMEOUT_S = 5.0


class AsyncClient(Verbs):
    """A client of the Boss at a URL. Every method raises `Unreachable` when its patience has run out.

    Args:
        url: the URL of Boss; when None, BOSS_URL in the environment, or else this machine.
        token: the access token, sent as `Authorization: Bearer`; when None, BOSS_TOKEN in the environment.
        patience: for how many seconds a request is retried while Boss or its database is away.

    Attributes:
        checks: sends the heartbeats of the jobs that this client holds.
    """

    def __init__(self, url: str | None = None, *, token: str | None = None, patience: float = 60) -> None:
        super().__init__(Connection(url, token, patience))
        self._named = {"boss-converter": f"{_host()}/{os.getpid()}"}
        self.checks = Checks(lambda: AsyncClient(url, token=token, patience=0))
        self._finishes: dict[str, Coalescer[Finish, None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, and send no more heartbeats for jobs that are still held."""
        self.checks.close()
        await self._connection.close()

    @contextlib.asynccontextmanager
    async def take(
        self, source: str | Sequence[str] | None = None, *, wait: float | None = None, lease: int | None = None
    ) -> AsyncIterator[AsyncJob]:
        """Take a job, and hold it while the body of `async with` works on it.

        When the body ends, the job is done, with `job.result`. When the body raises, the job is given back with a
        delay. A `Lost` that `job.check()` raised ends the body, and is not raised further.

        Args:
            source: the source or sources to take from; any when None.
            wait: for how many seconds to wait for a job; for ever when None.
            lease: the length of the lease in seconds; when None, that of the source's rule or the server's.

        Raises:
            NoJob: no job was available in time.
        """
        async with await self.take_now(source, wait=wait, lease=lease) as job:
            yield job

    async def take_now(
        self, source: str | Sequence[str] | None = None, *, wait: float | None = None, lease: int | None = None
    ) -> AsyncJob:
        """As `take`, but the caller must end it, by `job.done()` or `job.give_back()`."""
        [job] = await self.take_many(1, source, wait=wait, lease=lease)
        return job

    async def take_many(
        self,
        limit: int,
        source: str | Sequence[str] | None = None,
        *,
        wait: float | None = None,
        lease: int | None = None,
    ) -> list[AsyncJob]:
        """As `take_now`, for at least one and at most `limit` jobs."""
        key = str(uuid.uuid4())
        try:
            handed = await self.hand_out(limit, source, wait, lease, key)
        except asyncio.CancelledError:
            with contextlib.suppress(BossError, TimeoutError):
                await asyncio.wait_for(self._give_back_unreceived(limit, source, lease, key), _CLOSE_TIMEOUT_S)
            raise
        return [AsyncJob(self, *each) for each in handed]

    async def _give_back_unreceived(
        self, limit: int, source: str | Sequence[str] | None, lease: int | None, key: str
    ) -> None:
        """Give back the jobs of a take that was cancelled before its response arrived."""
        taken = [each.job for each in await self.hand_out(limit, source, 0, lease, key)]
        await asyncio.gather(
            *(self.give_back(job["source"], job["id"], 0, attempt=job["attempt"], uncounted=True) for job in taken)
        )

    async def _report(self, finish: Finish) -> None:
        source = finish.source
        if source not in self._finishes:
            # Group commit, as in the server: finishes that come while a request is under way share the next one.
            self._finishes[source] = Coalescer(
                self._finish_all,
                most=MOST_BYTES,
                weigh=lambda finish: len(finish.result or "") + MOST_BYTES // MOST_LINES,
                key=lambda finish: finish.id,
            )
        await self._finishes[source](finish)

    async def _finish_all(self, finishes: Sequence[Finish]) -> list[Exception | None]:
        if len(finishes) == 1:
            await self._finish(finishes[0])
            return [None]
        lines = "".join(map(finish_line, finishes))
        path, headers = address(State.DONE, finishes[0].source), NDJSON
        answer, repeated = await self._connection.send("POST", path, data=lines, headers=headers)
        check(answer)
        done: list[Exception | None] = []
        for finish, line in zip(finishes, answer.text.split("\n")[:-1], strict=True):
            try:
                # A finish that failed is sent again by itself, because then the response has more than a status.
                if json.loads(line)["status"] != 200:
                    await self._finish(finish, repeated)
                done.append(None)
            except BossError as error:
                done.append(error)
        return done


def _host() -> str:
    """The name of this machine or container, without what a header cannot have."""
    return re.sub(r"[^!-~]", "", socket.gethostname())[:80] or "localhost"
