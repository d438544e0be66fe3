"""The HTTP connection to Boss: send requests, retry them where that is safe, and raise errors of errors.py."""

import asyncio
import io
import logging
import random
import time
from collections.abc import Mapping
from typing import Any
from urllib.request import getproxies

import aiohttp
from yarl import URL

from boss.client.address import away, find_boss, reason
from boss.client.answers import AWAY, TIMEOUT_S, TOO_MANY, Answer
from boss.errors import NotABoss, Unreachable

log = logging.getLogger("boss")

# A longer body, in characters, is sent in pieces.
_LARGE = 200_000
# The delay between tries grows from the first value to the second, in seconds.
_SHORTEST_DELAY_S, _LONGEST_DELAY_S = 0.1, 10.0


class _AnswerLost(aiohttp.ClientError):
    """The connection was closed before the response arrived."""


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send a request once. aiohttp would retry some requests by itself, but the client must know of every retry."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _AnswerLost(str(error)) from error


class Connection:
    """Sends requests to the Boss at a URL.

    Args:
        url: the URL of Boss; when None, BOSS_URL in the environment, or else this machine.
        token: the access token, sent as `Authorization: Bearer`; when None, BOSS_TOKEN in the environment.
        patience: for how many seconds a request is retried while Boss or its database is away.

    Raises:
        NotAUrl: the URL is malformed.
        Unauthenticated: the token is malformed.
    """

    def __init__(self, url: str | None, token: str | None, patience: float) -> None:
        self.url, self._headers = find_boss(url, token)
        self._base = self.url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._patience = patience

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()

    async def send(self, method: str, path: str, *, seconds: float = TIMEOUT_S, **options: Any) -> tuple[Answer, bool]:
        """Send a request that is safe to retry, until there is a response.

        Args:
            method, path: the request; the path is percent-encoded and may have a query.
            seconds: for how long each try waits for its response.
            options: further arguments for aiohttp: `params`, `headers`, `data`.

        Returns the response, and whether an earlier try may have been carried out, because its response was lost.
        """
        until, delay, repeated = time.monotonic() + self._patience, _SHORTEST_DELAY_S, False
        while True:
            try:
                answer = await self._try(method, path, seconds, options)
            except aiohttp.ClientConnectorCertificateError as error:
                raise away(self.url, error.certificate_error) from error
            except aiohttp.ClientConnectorError as error:
                if isinstance(wrong := away(self.url, error.os_error), NotABoss):
                    raise wrong from error
                lost = reason(error.os_error)
            except (aiohttp.ClientError, TimeoutError) as error:
                if isinstance(wrong := away(self.url, error), NotABoss):
                    raise wrong from error
                lost, repeated = str(error) or type(error).__name__, True
            else:
                if answer.status == TOO_MANY and time.monotonic() + delay <= until:
                    # The request was not carried out, so it is retried. A 429 that comes when the patience is over is
                    # returned.
                    await asyncio.sleep(max(delay, _retry_after(answer)) * random.uniform(1, 1.5))  # noqa: S311
                    delay = min(2 * delay, _LONGEST_DELAY_S)
                    continue
                if answer.status not in AWAY:
                    return answer, repeated
                lost, repeated = f"it answers {answer.status}", True
            if delay == _SHORTEST_DELAY_S and self._patience:
                log.warning("no Boss answers at %s: %s; trying again", self.url, lost)
            if time.monotonic() + delay > until:
                raise Unreachable(f"no Boss answers at {self.url}: {lost}. Is it running there?")
            # The delay is random, so that after a restart of Boss not all clients retry at the same moment.
            await asyncio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311 (nothing secret about it)
            delay = min(2 * delay, _LONGEST_DELAY_S)

    async def _try(self, method: str, path: str, seconds: float, options: Mapping[str, Any]) -> Answer:
        if self._session is None:  # created here, because it belongs to a running event loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                middlewares=[_send_once],
                # With trust_env aiohttp searches for a proxy in a thread for every request.
                trust_env=bool(getproxies()),
            )
        address = f"{self._base}{path}"
        how = {"timeout": aiohttp.ClientTimeout(total=seconds), "allow_redirects": False, **options}
        if (data := options.get("data")) and len(data) > _LARGE:
            # aiohttp warns when a large body is sent in one piece.
            how["data"] = io.BytesIO(data.encode())
        async with self._session.request(method, URL(address, encoded=True), **how) as response:
            return Answer(method, address, response.status, response.headers, await response.text())


def _retry_after(answer: Answer) -> float:
    """The seconds in the header Retry-After. A date in it is ignored: Boss sends none."""
    text = answer.headers.get("retry-after", "")
    return min(float(text), _LONGEST_DELAY_S) if text.isdigit() else 0
