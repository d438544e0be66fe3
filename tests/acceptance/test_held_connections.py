"""Connections cannot be hoarded: each phase has a time-out, and the connection that is idle for longest makes room."""

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.certificates import certificate
from tests.helpers.databases import new_database
from tests.helpers.servers import BossProcess, boss_running
from tests.helpers.wire import HOST, Wire

pytestmark = pytest.mark.slow

LIVE = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
TAKE = b"GET /job/available/none?wait=300 HTTP/1.1\r\n" + HOST + b"\r\n"
# Far less than the defaults, and far more than the times set here.
SOON = 20.0


@pytest.fixture(scope="module")
def hasty(postgres: str) -> Iterator[BossProcess]:
    """A Boss that gives little time."""
    for url in new_database(postgres):
        with boss_running("--database", url, "--header-timeout", "1", "--body-timeout", "1") as boss:
            yield boss


def ends(wire: Wire) -> bytes:
    """What is answered until Boss ends the connection, which it does soon."""
    wire.socket.settimeout(SOON)
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := wire.socket.recv(1 << 16):
            received += data
    return received


HEADS = [b"P", b"POST /job/avail", b"POST /job HTTP/1.1\r\nHo", LIVE[:-2], b"\r\n"]


@pytest.mark.parametrize("said", HEADS)
def test_who_does_not_finish_a_head_is_told_so_and_cut_off(hasty: BossProcess, said: bytes) -> None:
    with Wire(hasty.port) as wire:
        received = ends(wire.send(said))
    assert received.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("said", [b"", LIVE, LIVE + LIVE, LIVE + b"G", LIVE + LIVE[:-2]])
def test_who_says_nothing_is_cut_off_without_a_word(hasty: BossProcess, said: bytes) -> None:
    with Wire(hasty.port) as wire:
        assert ends(wire.send(said)).count(b"HTTP/1.1 ") == said.count(LIVE)


@pytest.mark.parametrize("framing", [b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_byte_by_byte_does_not_win_time(hasty: BossProcess, framing: bytes) -> None:
    with Wire(hasty.port) as wire, contextlib.suppress(ConnectionError):
        wire.send(b"POST /job/available/freg HTTP/1.1\r\n", HOST, framing, b"\r\n")
        wire.socket.settimeout(0.2)
        until = time.monotonic() + SOON
        while time.monotonic() < until:
            wire.send(b"1" if b"Length" in framing else b"1\r\n1\r\n")
            with contextlib.suppress(TimeoutError):
                reply = wire.reply()
                assert (reply.status, reply.headers["connection"]) == (408, "close")
                return
        raise AssertionError("it won")


@pytest.fixture(scope="module")
def over_tls(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[BossProcess, Path]]:
    """A Boss with TLS that gives little time."""
    cert, key = certificate(tmp_path_factory.mktemp("tls"), "localhost")
    for url in new_database(postgres):
        flags = ("--tls-cert", str(cert), "--tls-key", str(key), "--header-timeout", "1", "--body-timeout", "1")
        with boss_running("--database", url, *flags) as boss:
            yield boss, cert


def test_a_handshake_that_is_not_finished(over_tls: tuple[BossProcess, Path]) -> None:
    for said in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"):
        with Wire(over_tls[0].port) as wire:
            assert b"HTTP" not in ends(wire.send(said))


@pytest.mark.parametrize("said", [b"", b"P", LIVE])
def test_a_finished_handshake_and_then_silence(over_tls: tuple[BossProcess, Path], said: bytes) -> None:
    boss, cert = over_tls
    context = ssl.create_default_context(cafile=str(cert))
    with Wire(boss.port) as wire:
        wire.socket = context.wrap_socket(wire.socket, server_hostname="localhost")
        received = ends(wire.send(said))
        assert (b"200 OK" in received, b" 408 " in received) == (said == LIVE, said == b"P")


def test_only_http_1_1_is_offered(over_tls: tuple[BossProcess, Path]) -> None:
    boss, cert = over_tls
    context = ssl.create_default_context(cafile=str(cert))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("localhost", boss.port)) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as tls,
    ):
        assert tls.selected_alpn_protocol() == "http/1.1"


class TestTheMost:
    """--max-connections."""

    def test_the_longest_idle_one_makes_room(self, database: str) -> None:
        with boss_running("--database", database, "--max-connections", "5") as boss, contextlib.ExitStack() as stack:
            wires = [stack.enter_context(Wire(boss.port)) for _ in range(5)]
            for wire in [*wires, wires[0]]:
                assert wire.send(LIVE).reply().status == 200
            assert stack.enter_context(Wire(boss.port)).send(LIVE).reply().status == 200
            assert ends(wires[1]) == b""
            for wire in (wires[0], *wires[2:]):
                assert wire.send(LIVE).reply().status == 200

    def test_half_a_head_is_idle_too(self, database: str) -> None:
        with boss_running("--database", database, "--max-connections", "5") as boss, contextlib.ExitStack() as stack:
            wires = [stack.enter_context(Wire(boss.port)).send(b"G") for _ in range(5)]
            for _ in range(5):
                assert stack.enter_context(Wire(boss.port)).send(LIVE).reply().status == 200
            assert [ends(wire) for wire in wires] == [b""] * 5

    def test_when_all_are_at_work_a_new_one_is_told_so(self, database: str) -> None:
        with boss_running("--database", database, "--max-connections", "5") as boss, contextlib.ExitStack() as stack:
            with boss.client() as client:
                takers = [stack.enter_context(Wire(boss.port)).send(TAKE) for _ in range(4)]
                while "boss_waiting_takers 4.0" not in client.get("/metrics").text:
                    pass
            stack.enter_context(Wire(boss.port)).send(TAKE)
            while True:
                with Wire(boss.port) as wire:
                    reply = wire.send(LIVE).reply()
                if reply.status == 503:
                    break
            assert (reply.headers["retry-after"], reply.headers["connection"]) == ("1", "close")
            assert json.loads(reply.body)["type"] == "urn:boss:problem:overloaded"
            takers[0].close()
            while True:
                with Wire(boss.port) as wire:
                    if wire.send(LIVE).reply().status == 200:
                        break

    @pytest.mark.parametrize("most", [2000, 16_384])
    def test_silent_ones_keep_nobody_from_being_answered(self, database: str, most: int) -> None:
        """The larger one takes some seconds, and needs as many open files again."""
        with (
            boss_running("--database", database, "--max-connections", str(most)) as boss,
            contextlib.ExitStack() as stack,
        ):
            for number in range(most + 500):
                try:
                    stack.enter_context(Wire(boss.port)).send((b"", b"P", LIVE, b"POST /job HTT")[number % 4])
                except OSError as error:
                    pytest.skip(f"this machine opens no more files: {error}")
            for _ in range(10):
                started = time.monotonic()
                with Wire(boss.port) as wire:
                    assert wire.send(LIVE).reply().status == 200
                assert time.monotonic() - started < 1


def test_heads_on_their_way_are_in_the_budget(database: str) -> None:
    """Each has a hundred and some kilobytes of a head that never ends; a megabyte is all there may be of them."""
    with (
        boss_running("--database", database, "--max-memory", str(1024 * 1024), "--max-headers", "200000") as boss,
        contextlib.ExitStack() as open_ones,
    ):
        wires = [open_ones.enter_context(Wire(boss.port)) for _ in range(40)]
        for wire in wires:
            with contextlib.suppress(ConnectionError):
                wire.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000)
        refused = [wire.reply() for wire in wires[20:]]
        assert {(reply.status, reply.headers["retry-after"]) for reply in refused} == {(503, "1")}
