"""The server's log: JSON unless on a terminal, a line for each event of a job, and never a document."""

import json
import os
import pty
import re
import select
import subprocess
import sys

import httpx

from tests.helpers.requests import submit
from tests.helpers.servers import PATIENCE, boss_running, free_port


def a_life(client: httpx.Client) -> None:
    submit(client, "freg/one", '{"secret": 1}', attempts=2)
    client.get("/job/available/freg")
    client.delete("/job/active/freg/one?delay=0")
    client.get("/job/available/freg")
    client.post("/job/done/freg/one?outcome=failed", content='{"secret": 2}')


def test_a_line_for_each_move(database: str) -> None:
    with boss_running("--database", database) as boss, boss.client() as client:
        a_life(client)
        lines = [json.loads(line) for line in boss.log.splitlines()]
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line["timestamp"]) for line in lines)
        moves = [line for line in lines if "job" in line]
        assert {(line["job"], line["source"], line["level"]) for line in moves} == {("one", "freg", "info")}
        assert [(line["event"], line.get("attempt"), line.get("outcome")) for line in moves] == [
            ("submitted", None, None),
            ("taken", 1, None),
            ("given back", None, None),
            ("taken", 2, None),
            ("finished", None, "failed"),
        ]
        assert "secret" not in boss.log


def test_quiet(database: str) -> None:
    with boss_running("--database", database, "--quiet") as boss, boss.client() as client:
        a_life(client)
        assert "freg" not in boss.log
        assert "Boss serves on" in boss.log


def test_that_nobody_reads_it_fails_no_request(database: str) -> None:
    port = free_port()
    command = [sys.executable, "-m", "boss", "serve", "--port", str(port), "--database", database]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as server:
        assert server.stderr
        while b"Boss serves on" not in server.stderr.readline():
            pass
        server.stderr.close()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                a_life(client)
                assert client.get("/jobs/one").json()["outcome"] == "failed"
        finally:
            server.terminate()
        assert server.wait(PATIENCE) == 0


def test_on_a_terminal_it_is_for_a_person(database: str) -> None:
    port = free_port()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "boss", "serve", "--port", str(port), "--database", database]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as server:
        os.close(theirs)
        shown = ""

        def until(words: str) -> None:
            nonlocal shown
            while words not in shown:
                assert select.select([ours], [], [], PATIENCE)[0], shown
                shown += re.sub(r"\x1b\[[0-9;]*m", "", os.read(ours, 1 << 16).decode())

        until("Boss serves on")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            a_life(client)
        until("outcome=failed")
        assert "[info     ] taken " in shown
        assert "{" not in shown
        server.terminate()
        os.close(ours)
        assert server.wait(PATIENCE) == 0
