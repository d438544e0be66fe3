"""Limits on what a client may use, and the responses at these limits."""

import collections
import contextlib
import json
import signal
import socket
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from boss.client.sync_client import Client
from boss.errors import TooMany
from tests.helpers.certificates import certificate
from tests.helpers.databases import new_database
from tests.helpers.requests import assert_problem, submit
from tests.helpers.servers import BossProcess, boss_running, free_port, until
from tests.helpers.tokens import create
from tests.helpers.wire import Wire

pytestmark = pytest.mark.slow

LIMITS = (
    *("--max-document", "1000", "--max-headers", "8192", "--max-waiting", "3", "--max-queue", "5"),
    *("--header-timeout", "1", "--body-timeout", "1", "--rate", "20"),
)


@pytest.fixture(scope="module")
def limited(postgres: str) -> Iterator[BossProcess]:
    """A Boss with little of everything."""
    for url in new_database(postgres):
        with boss_running("--database", url, *LIMITS) as boss:
            yield boss


@pytest.fixture
def small(limited: BossProcess) -> Iterator[httpx.Client]:
    with limited.client() as client:
        yield client


class TestSizes:
    def test_a_body(self, small: httpx.Client, source: str) -> None:
        assert_problem(
            small.post(f"/job/available/{source}", content=b'{"a":"' + b"x" * 1000 + b'"}'), 413, "1000 bytes"
        )

    def test_headers(self, limited: BossProcess, small: httpx.Client) -> None:
        """Boss never sees such a request; the answer is the HTTP server's own."""
        assert small.get("/job", headers={"x": "y" * 4000}).status_code == 200
        assert small.get("/job", headers={"x": "y" * 9000}).status_code == 431
        assert small.get("/job?" + "y" * 9000).status_code in (414, 431)
        with Wire(limited.port) as wire:
            wire.send(b"GET /job HTTP/1.1\r\nHost: localhost\r\n", *(b"X-%d: y\r\n" % n for n in range(200)), b"\r\n")
            assert wire.reply().status == 431


class TestTimes:
    def test_headers_that_come_too_slowly_end_the_connection(self, limited: BossProcess) -> None:
        """Slowloris: a byte now and then keeps nothing open."""
        with Wire(limited.port) as wire:
            wire.send(b"GET /job HTTP/1.1\r\n")
            started = time.monotonic()
            with contextlib.suppress(ConnectionError):
                while time.monotonic() - started < 15:
                    wire.send(b"X-Slow: y\r\n")
                    time.sleep(0.1)
            assert time.monotonic() - started < 10

    def test_a_connection_that_says_nothing_ends(self, limited: BossProcess) -> None:
        for first in (b"", b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            with Wire(limited.port) as wire:
                wire.send(first)
                if first:
                    wire.reply()
                wire.socket.settimeout(15)
                assert wire.socket.recv(1000) == b""

    def test_a_body_that_comes_too_slowly_is_answered(self, limited: BossProcess, source: str) -> None:
        with Wire(limited.port) as wire:
            wire.request("POST", f"/job/available/{source}", "Content-Length: 100")
            wire.send(b'{"a":')
            reply = wire.reply()
            assert reply.status == 408
            assert json.loads(reply.body)["detail"] == "The document did not arrive within 1 s; send it at once"

    def test_hundreds_of_slow_clients_keep_nobody_else_waiting(self, limited: BossProcess, small: httpx.Client) -> None:
        with contextlib.ExitStack() as open_ones:
            for _ in range(300):
                open_ones.enter_context(Wire(limited.port)).send(b"POST /job/available/freg HTTP/1.1\r\nX-")
            for _ in range(20):
                assert small.get("/health/live").elapsed.total_seconds() < 2


class TestCounts:
    def test_takers_that_wait(self, limited: BossProcess, small: httpx.Client, source: str) -> None:
        with ThreadPoolExecutor(3) as threads:
            waiting = [
                threads.submit(httpx.get, f"{limited.url}/job/available/{source}?wait=30", timeout=60) for _ in "123"
            ]
            until(lambda: "boss_waiting_takers 3.0" in small.get("/metrics").text)
            one_more = small.get(f"/job/available/{source}?wait=30")
            assert_problem(one_more, 503, "3 takers wait here, which is the most")
            assert one_more.headers["retry-after"] == "1"
            # Not to wait is still possible, and those who do get their jobs.
            assert small.get(f"/job/available/{source}").status_code == 404
            for _ in range(3):
                submit(small, source)
            assert {taken.result().status_code for taken in waiting} == {200}

    def test_a_queue(self, small: httpx.Client, source: str) -> None:
        for _ in range(5):
            submit(small, source)
        lines = {"content-type": "application/x-ndjson"}

        def one_more() -> httpx.Response:
            return small.post(f"/job/available/{source}", content="{}")

        until(lambda: one_more().status_code == 429)
        assert_problem(one_more(), 429, f"As many jobs of {source} are available")
        assert int(one_more().headers["retry-after"]) >= 1
        assert_problem(small.post(f"/job/available/{source}", content="{}\n{}\n", headers=lines), 429, "As many jobs")
        assert small.post(f"/job/available/{source}-other", content="{}").status_code == 201
        # It is counted every two seconds; from then on not one more is taken in.
        before = small.get("/job").json()["available"][source]
        assert {one_more().status_code for _ in range(5)} == {429}
        assert small.get("/job").json()["available"][source] == before >= 5
        small.get(f"/job/available/{source}?limit=1000")
        until(lambda: one_more().status_code == 201)

    def test_requests_with_one_token(self, database: str) -> None:
        with boss_running("--database", database, *LIMITS) as boss, boss.client() as client:
            token = create(client, "root", "admin")
            client.headers["authorization"] = f"Bearer {token}"
            other = create(client, "other", "converter")
            started = time.monotonic()
            answers = [client.get("/job") for _ in range(100)]
            seconds = time.monotonic() - started
            counts = Counter(answer.status_code for answer in answers)
            assert set(counts) == {200, 429}
            # A second's worth at once, and then so many a second.
            assert 15 <= counts[200] <= 20 * (seconds + 1) + 5
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert_problem(refused, 429, "The token root sends more than 20 requests a second")
            assert refused.headers["retry-after"] == "1"
            # Another one's requests are others.
            there = {"authorization": f"Bearer {other}"}
            assert client.head("/job/available", headers=there).status_code == 404
            until(lambda: client.get("/job").status_code == 200)

    def test_boss_own_client_waits_and_tries_again(self, database: str) -> None:
        with boss_running("--database", database, "--rate", "5") as boss:
            with boss.client() as client:
                token = create(client, "root", "admin")
            with Client(boss.url, token=token, patience=30) as patient:
                ids = [patient.submit("freg", {}) for _ in range(12)]
                assert len(set(ids)) == 12
                assert patient.tree()["available"] == {"freg": 12}
            with Client(boss.url, token=token, patience=0) as hasty, pytest.raises(TooMany):
                collections.deque(iter(hasty.tree, None), maxlen=0)

    def test_connections(self, database: str) -> None:
        """For one more, the one that has been idle for longest is closed."""
        with (
            boss_running("--database", database, "--max-connections", "5") as boss,
            contextlib.ExitStack() as open_ones,
        ):
            wires = [open_ones.enter_context(Wire(boss.port)) for _ in range(5)]
            for wire in (*wires, wires[0]):
                assert wire.request("GET", "/health/live").reply().status == 200
            late = open_ones.enter_context(Wire(boss.port))
            assert late.request("GET", "/health/live").reply().status == 200
            assert wires[1].socket.recv(1) == b""
            for wire in (*wires[2:], wires[0], late):
                assert wire.request("GET", "/health/live").reply().status == 200


class TestRequestsThatLie:
    """SQL in names, ways out of the tree, headers and bodies that two servers would read differently."""

    SQL = (
        "' OR 1=1 --",
        "'; DROP TABLE job; --",
        '"; SELECT pg_sleep(9); --',
        "$1",
        "%27",
        "a'||'b",
        "\\",
        "${jndi:x}",
    )

    @pytest.mark.parametrize("text", SQL)
    def test_sql_is_text(self, client: httpx.Client, source: str, text: str) -> None:
        kept = submit(client, source, json.dumps({"sql": text}))
        for method, path in (("GET", "/job/available/{}"), ("POST", "/job/done/x/{}"), ("GET", "/jobs/{}")):
            quoted = path.format("".join(f"%{byte:02x}" for byte in text.encode()))
            assert client.request(method, quoted).status_code == 400, quoted
        for name in ("source", "state", "after", "limit"):
            assert client.get("/jobs", params={name: text}).status_code == 400
        for name in ("priority", "delay", "at", "attempts"):
            assert client.post(f"/job/available/{source}", params={name: text}, content="{}").status_code == 400
        assert client.get(f"/job/available/{source}", headers={"if-match": text}).status_code in (200, 404)
        key = client.get(f"/job/available/{source}-none", headers={"idempotency-key": text})
        assert key.status_code == 404
        assert client.get(f"/jobs/{kept}").json()["job"] == {"sql": text}

    @pytest.mark.parametrize(
        "path",
        [
            "/job/available/../../jobs",
            "/job/available/..%2f..%2fjobs",
            "/page/../../../../etc/passwd",
            "/page/..%2f..%2f..%2fetc%2fpasswd",
            "/page/%2e%2e/server.py",
            "/page/__init__.py",
            "//job",
            "/job//available",
            "/./job",
            "/job/available/freg/%00",
            "/job/available/freg%2fvictim",
            "/job;a=b",
            "/JOB",
            "/job/",
            "/\\job",
        ],
    )
    def test_a_path_leads_nowhere_else(self, module_boss: BossProcess, path: str) -> None:
        with Wire(module_boss.port) as wire:
            assert wire.request("GET", path).reply().status in (400, 404), path

    @pytest.mark.parametrize(
        "lines",
        [
            ["Content-Length: 2", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: chunked", "Content-Length: 2"],
            ["Content-Length: 2", "Content-Length: 60"],
            ["Content-Length: 2, 60"],
            ["Content-Length: +2"],
            ["Content-Length: 0x2"],
            ["Content-Length: -2"],
            ["Content-Length : 2"],
            ["Transfer-Encoding: xchunked"],
            ["Transfer-Encoding : chunked"],
            ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
            ["Transfer-Encoding: identity, chunked, identity"],
            ["X: y", " Content-Length: 60"],
            ["X: y\x00", "Content-Length: 2"],
            ["X\x00: y", "Content-Length: 2"],
            ["X: y\rContent-Length: 60", "Content-Length: 2"],
        ],
    )
    def test_what_two_servers_would_read_differently_is_refused(
        self, module_boss: BossProcess, client: httpx.Client, lines: list[str]
    ) -> None:
        """A second request hides behind the first one's body: where the first ends is not clear, so neither is done.

        But for RFC 9112, 6.3: with both lengths the chunks count, and the connection ends after them.
        """
        hidden = b"POST /job/available/hidden HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
        head = "\r\n".join(["POST /job/available/smuggled HTTP/1.1", "Host: localhost", *lines, "", ""])
        statuses = []
        with Wire(module_boss.port, timeout=5) as wire:
            wire.send(head.encode("latin-1"), b"2\r\n{}\r\n0\r\n\r\n", hidden)
            with contextlib.suppress(ConnectionError, TimeoutError):
                while True:
                    statuses.append(wire.reply().status)
        assert client.get("/job").json()["available"].get("hidden", 0) == 0, statuses
        assert statuses in ([400], [], [201]), statuses

    @pytest.mark.parametrize(
        "header",
        ["Boss-State: done", "X-HTTP-Method-Override: DELETE", "X-Original-URL: /token"],
    )
    def test_a_header_changes_nothing_that_it_should_not(
        self, module_boss: BossProcess, client: httpx.Client, source: str, header: str
    ) -> None:
        id = submit(client, source)
        with Wire(module_boss.port) as wire:
            reply = wire.request("GET", f"/job/available/{source}/{id}", header).reply()
        assert (reply.status, json.loads(reply.body)["id"]) == (200, id)

    def test_no_answer_has_a_header_that_a_name_broke_into(self, client: httpx.Client, source: str) -> None:
        for path in (f"/job/available/{source}%0d%0aSet-Cookie:%20a=b", "/jobs/x%0d%0aSet-Cookie:%20a=b"):
            answer = client.get(path)
            assert answer.status_code == 400
            assert "set-cookie" not in answer.headers


class TestTls:
    def test_a_key_with_a_pass_phrase_is_refused_and_nobody_is_asked_for_it(self, tmp_path: Path) -> None:
        cert, key = certificate(tmp_path, "first")
        locked = tmp_path / "locked.pem"
        command = ["openssl", "ec", "-in", str(key), "-out", str(locked), "-aes128", "-passout", "pass:secret"]
        subprocess.run(command, check=True, capture_output=True)
        boss = BossProcess("--data", str(tmp_path / "data"), "--tls-cert", str(cert), "--tls-key", str(locked))
        with contextlib.closing(boss):
            boss.wait_for_log("has a pass phrase; Boss takes a key without one")
            assert boss.process.wait(60) != 0
            assert "Enter PEM" not in boss.log

    @pytest.mark.without_schema
    def test_a_hang_up_while_it_starts_does_not_end_it(self, database: str, tmp_path: Path) -> None:
        cert, key = certificate(tmp_path, "first")
        boss = BossProcess("--database", database, "--tls-cert", str(cert), "--tls-key", str(key))
        with contextlib.closing(boss):
            boss.wait_for_log("migrating the database")
            for _ in range(20):
                boss.process.send_signal(signal.SIGHUP)
            boss.wait_until_ready()

    def test_a_renewed_certificate_is_taken_up_and_nobody_notices(self, database: str, tmp_path: Path) -> None:
        cert, key = certificate(tmp_path, "first")
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        port = free_port()
        with boss_running("--database", database, "--tls-cert", str(cert), "--tls-key", str(key), port=port) as boss:
            url = f"https://localhost:{port}"
            assert f"Boss serves on https://127.0.0.1:{port}" in boss.log

            def common_name() -> str:
                with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as wrapped:
                    der = wrapped.getpeercert(binary_form=True)
                assert der
                return "second" if b"second" in der else "first"

            assert common_name() == "first"
            trusted = httpx.Client(base_url=url, verify=ssl.create_default_context(cafile=str(cert)))
            kept = httpx.Client(base_url=url, verify=context)
            with trusted, kept:
                id = submit(trusted, "freg")
                assert kept.get(f"/job/available/freg/{id}").json()["id"] == id
                stop, failed = False, []
                done = [0, 0]

                def go_on(number: int) -> None:
                    while not stop:
                        try:
                            with httpx.Client(base_url=url, verify=context) as one:
                                assert one.get("/health/ready").status_code == 200
                            done[number] += 1
                        except (httpx.HTTPError, AssertionError) as error:
                            failed.append(repr(error))

                with ThreadPoolExecutor(2) as threads:
                    going = [threads.submit(go_on, number) for number in range(2)]
                    try:
                        cert.write_text("half a certif")
                        boss.wait_for_log("keeping the old certificate")
                        assert common_name() == "first"
                        certificate(tmp_path, "second")
                        until(lambda: common_name() == "second")
                        before = list(done)
                        until(lambda: all(now > earlier + 10 for now, earlier in zip(done, before, strict=True)))
                    finally:
                        stop = True
                    for each in going:
                        each.result()
                # Those in the backlog of the old listener as it closes may be broken off, as by any restart.
                assert len(failed) <= 4, failed
                boss.process.send_signal(signal.SIGHUP)
                until(lambda: boss.log.count("new connections get the new certificate") == 2)
                with httpx.Client(base_url=url, verify=context) as again:
                    cookie = again.post("/token/root", json={"role": "admin"}).json()["token"]
                    signed = again.post("/session", json={"token": cookie})
                    assert "; Secure" in signed.headers["set-cookie"]
            assert boss.terminate() == 0

    def test_what_is_no_certificate_is_said(self, database: str, tmp_path: Path) -> None:
        cert, key = certificate(tmp_path, "first")
        cert.write_text("nothing")
        refused = BossProcess("--database", database, "--tls-cert", str(cert), "--tls-key", str(key))
        assert refused.process.wait(60) == 2
        assert f"{cert} has no certificate (PEM)" in refused.log
        refused.close()
        alone = BossProcess("--database", database, "--tls-cert", str(cert))
        assert alone.process.wait(60) == 2
        assert "--tls-cert and --tls-key must be given together" in alone.log
        alone.close()
