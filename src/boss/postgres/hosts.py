"""Chooses among the hosts in a database's URL. Each has a time-out of its own, so one that is mute costs only a moment.

asyncpg has one time-out for all hosts together; a frozen first host would use it up.
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

# How long one host may take to accept a connection.
_CONNECT_S = 4.0
# After this time without an answer the next host is tried as well. A healthy host takes less.
_HEAD_START_S = 0.5
# The values of target_session_attrs. With those in `_ANY`, hosts are always tried in the order of the URL.
_TARGETS = ("any", "primary", "standby", "read-write", "read-only", "prefer-standby")
_ANY = ("any", "prefer-standby", "read-only", "standby")

_WRONG = (
    "the database's URL cannot be understood{}; it should look like postgresql://user:password@host:port/name, with "
    "# / ? @ : % and spaces in the password percent-encoded (%23 %2F %3F %40 %3A %25 %20)"
)
# asyncpg's messages about these contain nothing else of the URL.
_HARMLESS = re.compile(
    r"`sslmode`|`sslnegotiation`|target_session_attrs|root certificate file|direct TLS|could not match"
)


class Host(NamedTuple):
    """One host of a URL. Without a port, PGPORT says it."""

    name: str
    port: int | None

    def __str__(self) -> str:
        return self.name if self.port is None else f"{self.name}:{self.port}"


class NoHostError(OSError):
    """No host accepts a connection; the message says what each of them did."""


class Hosts:
    """The hosts of one URL. They are tried in order; the one that accepted the last connection comes first.

    Args:
        url: the database's URL.
        settings: the settings of each session.

    Raises:
        WrongSetting: it is not the URL of a database. The message quotes nothing of it, because of its password.
    """

    def __init__(self, url: str, settings: Mapping[str, str]) -> None:
        self._url = url
        self._settings = dict(settings)
        self._target, self._hosts = _read(url)

    async def connect(self, *_: object, **__: object) -> _Connection:
        """Connect to the first host that accepts it and is of the kind that the URL asks for.

        Raises:
            NoHostError: there is none; the message says what each host did.
            asyncpg.ProtocolViolationError: something answers there that does not accept our settings.
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
        """Wait for the first attempt to end. Return its connection; None if it failed, or after so many seconds."""
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
        # For what is None, asyncpg uses the URL or the environment.
        return asyncpg.connect(
            self._url,
            host=host and host.name,
            port=host and host.port,
            target_session_attrs=target,  # type: ignore[arg-type]
            server_settings=self._settings,
        )


def _drop(connecting: _Connecting) -> None:
    """Cancel an attempt to connect, and close its connection if there is one already."""

    def close(over: _Connecting) -> None:
        if not over.cancelled() and not over.exception():
            over.result().terminate()

    connecting.cancel()
    connecting.add_done_callback(close)


def _read(url: str) -> tuple[str | None, list[Host]]:
    """The kind of host that the URL asks for, and its hosts: none when a service file names them, or nothing does."""
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
        # Drop the cause: Python's message may contain the password.
        raise WrongSetting(_wrong("")) from None
    target = query.get("target_session_attrs", [os.environ.get("PGTARGETSESSIONATTRS")])[-1]
    if target not in (None, *_TARGETS):
        raise WrongSetting(_WRONG.format(f" (target_session_attrs takes {', '.join(_TARGETS)})"))
    # Boss has to write, so of several hosts it wants one that takes writes.
    return target or ("read-write" if len(hosts) > 1 else None), hosts


def _is_torn(url: str, netloc: str, at: str) -> bool:
    """Whether the password has a character that should be percent-encoded, so that the URL was split wrongly."""
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
    """The hosts, with these ports where they have none: one port for all, or one for each."""
    given = [_port(port) for port in ports.split(",")] if hosts and ports else []
    if len(given) == 1:
        given *= len(hosts)
    if given and len(given) != len(hosts):
        raise ValueError
    return [host._replace(port=host.port or port) for host, port in zip(hosts, given, strict=True)] if given else hosts


def _ports_around() -> str:
    # asyncpg reads a single port itself. It cannot use a list of ports, because we give it one host at a time.
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
    """The message of an error, without PostgreSQL's details and hints: these are further lines and may have values."""
    said = str(error).split("\n", 1)[0]
    # For a failed connection, asyncio's message is "[Errno 111] Connect call failed ('::1', 5432), [Errno …", and so on
    # for each address.
    numbers = dict.fromkeys(re.findall(r"\[Errno (\d+)\]", said))
    if numbers:
        return ", ".join(os.strerror(int(number)) for number in numbers)
    return re.sub(r"^\[Errno -\d+\] ", "", said)
