"""Draining: requests under way are answered, idle connections end, and new requests are sent elsewhere."""

import contextlib

import httpx
import pytest

from tests.helpers.servers import PATIENCE, boss_running, until
from tests.helpers.wire import HOST, Wire

LIVE = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
TREE = b"GET /job HTTP/1.1\r\n" + HOST + b"\r\n"
SUBMIT = b"POST /job/available/freg HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\n"


def test_under_way_idle_and_new(database: str) -> None:
    with boss_running("--database", database) as boss, contextlib.ExitStack() as wires:
        idle = [wires.enter_context(Wire(boss.port)) for _ in range(5)]
        assert [wire.send(LIVE).reply().status for wire in idle] == [200] * 5
        under_way = [wires.enter_context(Wire(boss.port)).send(SUBMIT, b"{") for _ in range(5)]
        takers = [wires.enter_context(Wire(boss.port)) for _ in range(5)]
        for taker in takers:
            taker.send(b"GET /job/available/none?wait=60 HTTP/1.1\r\n", HOST, b"\r\n")
        metrics = f"{boss.url}/metrics"
        until(lambda: "boss_waiting_takers 5.0" in httpx.get(metrics).text)
        boss.process.terminate()
        boss.wait_for_log("draining")
        # Who waits for a job is sent away.
        assert [(reply.status, reply.headers["connection"]) for taker in takers for reply in taker.replies()] == [
            (503, "close")
        ] * 5
        # What is under way is answered; what was sent after it on the same connection is not lost without a word.
        for wire in under_way:
            wire.send(b"}" + TREE)
            replies = wire.replies()
            assert replies[0].status == 201
            assert [(reply.status, reply.headers["connection"]) for reply in replies][-1][1] == "close"
        # A request that meets the end of its idle connection is answered, or none of it was read.
        for wire in idle:
            with contextlib.suppress(ConnectionError):
                replies = wire.send(TREE).replies()
                assert [(each.status, each.headers["connection"]) for each in replies] in ([], [(503, "close")])
        assert boss.process.wait(PATIENCE) == 0
        assert '"level":"error"' not in boss.log


@pytest.mark.parametrize("said", [b"", b"G", LIVE[:-2]])
def test_who_says_nothing_does_not_keep_boss_from_stopping(database: str, said: bytes) -> None:
    with boss_running("--database", database) as boss, Wire(boss.port) as wire:
        wire.send(said)
        httpx.get(f"{boss.url}/job")
        assert boss.terminate() == 0
