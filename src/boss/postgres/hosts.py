"""Which of the hosts in a database's URL to connect to: each has a time-out of its own, so a mute one costs a moment.

asyncpg's own time-out is one for all hosts together: a first one that is frozen would use it up.
"""

import asyncio
import os
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import NamedTuple, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from boss.errors import WrongSetting

_Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_Connecting: TypeAlias = "asyncio.Task[asyncpg.Connection[asyncpg.Record]]"

# How long one of the hosts may take to let us in, in seconds.
_CONNECT_S = 4.0
# After so long without an answer the next host is asked as well, in seconds. It is past what a host takes that is well.
_HEAD_START_S = 0.5
# What a URL can ask for. With some it does not matter which host it is: they are always asked in its order.
_TARGETS = ("any", "primary", "standby", "read-write", "read-only", "prefer-standby")
_ANY = ("any", "prefer-standby", "read-only", "standby")

_WRONG = (
    "the database's URL cannot be understood{}; it should look like postgresql://user:password@host:port/name, with "
    "# / ? @ : % and spaces in the password percent-encoded (%23 %2F %3F %40 %3A %25 %20)"
)
# What asyncpg says about these has nothing of the rest of the URL in it.
_HARMLESS = re.compile(
    r"`sslmode`|`sslnegotiation`|target_session_attrs|root certificate file|direct TLS|could not match"
)


class Host(NamedTuple):
    """One host of a URL; without a port it is what PGPORT says."""

    name: str
    port: int | None

    def __str__(self) -> str:
        return self.name if self.port is None else f"{self.name}:{self.port}"


class NoHostError(OSError):
    """No host lets us in; the sentence says what each of them did."""


class Hosts:
    """The hosts of one URL, and the order in which to ask them: who let us in last comes first.

    Args:
        url: the database.
        settings: of each session.

    Raises:
        WrongSetting: that is no URL of a database. The message has nothing of it: there is a password in it.
    """

    def __init__(self, url: str, settings: Mapping[str, str]) -> None:
        self._url = url
        self._settings = dict(settings)
        self._target, self._hosts = _read(url)

    async def connect(self, *_: object, **__: object) -> _Connection:
        """A connection to the first host that lets us in and is what the URL asks for.

        Raises:
            NoHostError: there is none; the sentence says what each host did.
            asyncpg.ProtocolViolationError: it leads to something that does not take our settings.
        """
        if not self._hosts:
            return await self._connect_or_say(None, self._target)
        if self._target != "prefer-standby":
            return await self._first(self._target)
        try:
            return await self._first("standby")
        except NoHostError:
            return await self._first("any")

    async def _first(self, target: str | None) -> _Connection:
        asked: dict[_Connecting, Host] = {}
        failed: dict[Host, NoHostError] = {}
        try:
            for host in tuple(self._hosts):
                asked[asyncio.create_task(self._connect_or_say(host, target))] = host
                if found := await self._ready(asked, failed, _HEAD_START_S):
                    return found
            while asked:
                if found := await self._ready(asked, failed, None):
                    return found
        finally:
            for connecting in asked:
                _drop(connecting)
        if len(failed) == 1:
            raise next(iter(failed.values()))
        raise NoHostError("; ".join(f"{host}: {error}" for host, error in failed.items()))

    async def _ready(
        self, asked: dict[_Connecting, Host], failed: dict[Host, NoHostError], seconds: float | None
    ) -> "_Connection | None":
        """The connection that one of them gave; None after so many seconds, or when one has failed."""
        done, _ = await asyncio.wait(asked, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for connecting in [each for each in asked if each in done]:
            host = asked[connecting]
            try:
                connection = connecting.result()
            except NoHostError as error:
                failed[host] = error
                del asked[connecting]
            else:
                del asked[connecting]
                self._prefer(host)
                return connection
        return None

    def _prefer(self, host: Host) -> None:
        if self._target not in _ANY and self._hosts[0] != host:
            self._hosts.remove(host)
            self._hosts.insert(0, host)

    async def _connect_or_say(self, host: Host | None, target: str | None) -> _Connection:
        try:
            async with asyncio.timeout(_CONNECT_S):
                return await self._connect(host, target)
        except asyncpg.ProtocolViolationError:
            raise
        except asyncpg.TargetServerAttributeNotMatched as error:
            raise NoHostError(f"it is not {target}") from error
        except TimeoutError as error:
            raise NoHostError(f"it did not answer within {_CONNECT_S:g} s") from error
        except asyncpg.ClientConfigurationError as error:
            raise NoHostError(_wrong(str(error))) from error
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            raise NoHostError(in_a_line(error)) from error
        except ValueError as error:
            raise NoHostError(_wrong("")) from error

    def _connect(self, host: Host | None, target: str | None) -> Coroutine[None, None, _Connection]:
        # asyncpg takes what is None from the URL or the environment.
        return asyncpg.connect(
            self._url,
            host=host and host.name,
            port=host and host.port,
            target_session_attrs=target,  # type: ignore[arg-type]
            server_settings=self._settings,
        )


def _drop(connecting: _Connecting) -> None:
    """Nobody needs it any more; should it have been made already, it is closed."""

    def close(over: _Connecting) -> None:
        if not over.cancelled() and not over.exception():
            over.result().terminate()

    connecting.cancel()
    connecting.add_done_callback(close)


def _read(url: str) -> tuple[str | None, list[Host]]:
    """What kind of host the URL asks for, and its hosts; none when they stand in a service file, or nowhere."""
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        _, at, where = parts.netloc.rpartition("@")
        if parts.scheme not in ("postgresql", "postgres") or _is_torn(url, parts.netloc, at):
            raise ValueError
        names = where or query.get("host", [""])[-1] or os.environ.get("PGHOST", "")
        hosts = [_host(name, unquote if where else str) for name in names.split(",")] if names else []
        hosts = _with_ports(hosts, query.get("port", [""])[-1] or _ports_around())
    except ValueError:
        # Not even as its cause: what Python says of it may have the password in it.
        raise WrongSetting(_wrong("")) from None
    target = query.get("target_session_attrs", [os.environ.get("PGTARGETSESSIONATTRS")])[-1]
    if target not in (None, *_TARGETS):
        raise WrongSetting(_WRONG.format(f" (target_session_attrs takes {', '.join(_TARGETS)})"))
    # Boss is of no use where it cannot write.
    return target or ("read-write" if len(hosts) > 1 else None), hosts


def _is_torn(url: str, netloc: str, at: str) -> bool:
    """Whether a character of a password that is not percent-encoded has torn the URL apart."""
    return "#" in url or netloc.count("@") > 1 or bool(netloc and not at and "@" in url)


def _host(text: str, decoded: Callable[[str], str]) -> Host:
    if text.startswith(("/", "%2F", "%2f")):
        return Host(decoded(text), None)
    found = re.fullmatch(r"\[([^\]]+)\](?::([0-9]+))?|([^\[\]:]+)(?::([0-9]+))?", text)
    if not found:
        raise ValueError
    port = found[2] or found[4]
    return Host(decoded(found[1] or found[3]), _port(port) if port else None)


def _with_ports(hosts: list[Host], ports: str) -> list[Host]:
    """The same, with these ports where they have none: one for all, or one for each."""
    given = [_port(port) for port in ports.split(",")] if hosts and ports else []
    if len(given) == 1:
        given *= len(hosts)
    if given and len(given) != len(hosts):
        raise ValueError
    return [host._replace(port=host.port or port) for host, port in zip(hosts, given, strict=True)] if given else hosts


def _ports_around() -> str:
    # asyncpg takes a single one by itself, and has no host for several, as it is given one host at a time.
    ports = os.environ.get("PGPORT", "")
    return ports if "," in ports else ""


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise ValueError
    return port


def _wrong(why: str) -> str:
    return _WRONG.format(f" ({why})" if _HARMLESS.match(why) else "")


def in_a_line(error: BaseException | None) -> str:
    """What went wrong, without PostgreSQL's details and hints: these are lines of their own, and may have values."""
    said = str(error).split("\n", 1)[0]
    # What asyncio says of a connection is "[Errno 111] Connect call failed ('::1', 5432), [Errno …", for each address.
    numbers = dict.fromkeys(re.findall(r"\[Errno (\d+)\]", said))
    if numbers:
        return ", ".join(os.strerror(int(number)) for number in numbers)
    return re.sub(r"^\[Errno -\d+\] ", "", said)
