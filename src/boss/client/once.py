"""The connection of a command, which sends few requests: by the standard library, without a thread or an event loop.

`asyncio` and `aiohttp` take longer to import than most commands take to run.
"""

import os
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import SplitResult, unquote, urlencode, urlsplit

from boss.client.address import away, find_boss
from boss.client.answers import AWAY, TIMEOUT_S, Answer
from boss.client.json_text import read_exactly
from boss.errors import Unreachable

_T = TypeVar("_T")


def now(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that awaits only this module's connection, and so never really waits."""
    try:
        coroutine.send(None)
    except StopIteration as over:
        return cast(_T, over.value)
    coroutine.close()
    raise RuntimeError("the coroutine waits for an event loop, and there is none")


def each(many: AsyncIterator[_T]) -> Iterator[_T]:
    """Iterate over an asynchronous iterator, as `now` runs a coroutine."""

    async def following() -> tuple[_T] | None:
        async for one in many:
            return (one,)
        return None

    while following_one := now(following()):
        yield following_one[0]


class ExactAnswer(Answer):
    """A response whose numbers stay as they were written, because a command prints them."""

    def json(self) -> Any:
        """See `Answer.json`."""
        return read_exactly(self.text)


class OnceConnection:
    """Sends each request once, over a connection of its own, and blocks until the response; see `Connection`."""

    def __init__(self, url: str | None, token: str | None) -> None:
        self.url, headers = find_boss(url, token)
        self._boss = urlsplit(self.url.rstrip("/"))
        self._headers = {**headers, **_credentials(self._boss, "authorization")}

    async def close(self) -> None:
        """Do nothing: no connection stays open."""

    async def send(
        self,
        method: str,
        path: str,
        *,
        seconds: float = TIMEOUT_S,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: str | None = None,
    ) -> tuple[Answer, bool]:
        """As `Connection.send` without patience."""
        target = f"{self._boss.path}{path}"
        if params:
            target = f"{target}?{urlencode(params)}"
        body = None if data is None else data.encode()
        try:
            answer = self._send(method, target, seconds, body, {**self._headers, **(headers or {})})
        except (OSError, HTTPException) as error:
            raise away(self.url, error) from error
        if answer.status in AWAY and not answer.is_problem:
            raise Unreachable(f"no Boss answers at {self.url}: it answers {answer.status}. Is it running there?")
        return answer, False

    def _send(self, method: str, target: str, seconds: float, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        way = _way(self._boss, seconds)
        with closing(way.connection) as connection:
            connection.request(method, way.prefix + target, body, {**headers, **way.headers})
            response = connection.getresponse()
            got = {name.lower(): value for name, value in response.getheaders()}
            address = f"{self._boss.scheme}://{_host(self._boss)}{target}"
            return ExactAnswer(method, address, response.status, got, response.read().decode(errors="replace"))


class _Way(NamedTuple):
    """A connection, the prefix of a request's path on it, and the headers for a proxy."""

    connection: HTTPConnection
    prefix: str = ""
    headers: Mapping[str, str] = {}


def _way(boss: SplitResult, seconds: float) -> _Way:
    proxy = _proxy(boss)
    if proxy is None:
        return _Way(_connect(boss, boss.scheme, seconds))
    known = _credentials(proxy, "proxy-authorization")
    if boss.scheme == "http":
        return _Way(_connect(proxy, proxy.scheme, seconds), f"http://{_host(boss)}", known)
    through = _connect(proxy, "https", seconds)
    through.set_tunnel(boss.hostname or "", boss.port or 443, headers=known)
    return _Way(through)


def _connect(to: SplitResult, scheme: str, seconds: float) -> HTTPConnection:
    kind = HTTPSConnection if scheme == "https" else HTTPConnection
    port = to.port or (443 if to.scheme == "https" else 80)
    return kind(to.hostname or "", port, timeout=seconds)


def _host(url: SplitResult) -> str:
    return url.netloc.rpartition("@")[2]


def _proxy(boss: SplitResult) -> SplitResult | None:
    """The proxy for this URL, from the environment or the system's settings."""
    # urllib.request is slow to import, and most environments have no proxy.
    if sys.platform == "linux" and not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxy = getproxies().get(boss.scheme)
    if not proxy or proxy_bypass(_host(boss)):
        return None
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


def _credentials(url: SplitResult, header: str) -> dict[str, str]:
    """The header for the user name and password in a URL."""
    if url.username is None:
        return {}
    known = f"{unquote(url.username)}:{unquote(url.password or '')}"
    return {header: f"Basic {b64encode(known.encode()).decode()}"}
