"""Clients that go away at every moment of a take, over TLS: there a half-close is a close."""

import asyncio
import json
import random
import socket
import ssl
import struct
from pathlib import Path

import pytest

from tests.helpers.certificates import certificate
from tests.helpers.hang_ups import UNCOUNTED_WITH_RESETS, assert_none_is_active_for_nobody, fill, request, unheard
from tests.helpers.servers import boss_running

pytestmark = pytest.mark.alone

CLIENTS = 1000
AT_ONCE = 32
# Longer than a take takes under this load, in seconds.
_LATEST = 0.06


class _Client(asyncio.Protocol):
    """Asks once, and notes the job that it gets."""

    def __init__(self) -> None:
        self.received = b""
        self.has_answer = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.received.endswith(b"}"):
            self.has_answer.set()

    @property
    def taken(self) -> str | None:
        return str(json.loads(self.received.partition(b"\r\n\r\n")[2])["id"]) if self.received else None


@pytest.mark.parametrize("wait", ["", "?wait=5"])
@pytest.mark.parametrize("linger", [None, struct.pack("ii", 1, 0)], ids=["close", "reset"])
async def test_over_tls(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linger: bytes | None, wait: str
) -> None:
    cert, key = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    context = ssl.create_default_context()
    places, got, loop = asyncio.Semaphore(AT_ONCE), list[str](), asyncio.get_running_loop()
    with boss_running("--database", database, "--tls-cert", str(cert), "--tls-key", str(key)) as boss:
        boss.url = f"https://localhost:{boss.port}"

        async def one(reads: bool) -> None:
            async with places:
                transport, client = await loop.create_connection(_Client, "localhost", boss.port, ssl=context)
                transport.write(request("freg", wait))
                await (client.has_answer.wait() if reads else asyncio.sleep(random.uniform(0, _LATEST)))
                if client.taken:
                    got.append(client.taken)
                if linger:
                    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                transport.abort()

        fill(boss, "freg", CLIENTS)
        before = unheard()
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(one(reads=number % 3 == 0))
        uncounted = UNCOUNTED_WITH_RESETS if linger else 0
        assert_none_is_active_for_nobody(boss, "freg", got, unheard() - before + uncounted)
