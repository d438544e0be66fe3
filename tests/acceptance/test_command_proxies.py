"""Commands use the proxy of the environment, or bypass it."""

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.helpers.certificates import certificate
from tests.helpers.commands import Boss
from tests.helpers.servers import BossProcess, boss_running

pytestmark = pytest.mark.slow


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A forward proxy that wants to know a name and a password: where it is, and what it was asked."""
    asked: list[str] = []
    known = "Basic " + base64.b64encode(b"me:pass word").decode()

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self._lets_in():
                return
            answer = httpx.get(self.path, headers={"accept": self.headers["accept"] or "*/*"}, trust_env=False)
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def do_CONNECT(self) -> None:
            if not self._lets_in():
                return
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port))) as server:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=_pass_on, args=(server, self.connection))
                back.start()
                _pass_on(self.connection, server)
                back.join()

        def _lets_in(self) -> bool:
            asked.append(f"{self.command} {self.path}")
            if self.headers["proxy-authorization"] == known:
                return True
            self.send_error(407)
            return False

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            serving.join()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while part := one.recv(1 << 16):
            other.sendall(part)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)


def test_http_through_a_proxy_and_past_it(module_boss: BossProcess) -> None:
    boss = Boss(module_boss.url)
    with proxy() as (where, asked):
        boss.environment["http_proxy"] = f"http://me:pass%20word@{where}"
        assert boss("tree").stdout.startswith("job\n")
        assert asked == [f"GET {module_boss.url}/job"]
        boss.environment["no_proxy"] = "127.0.0.1"
        assert boss("tree").stdout.startswith("job\n")
        assert len(asked) == 1
        del boss.environment["no_proxy"]
        boss.environment["http_proxy"] = where
        said = boss("tree")
        assert (said.returncode, "answers 407. Is it a Boss?" in said.stderr) == (1, True)
    assert boss("tree").returncode == 75


def test_https_through_a_proxy(database: str, tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "localhost")
    with (
        boss_running("--database", database, "--tls-cert", str(cert), "--tls-key", str(key)) as running,
        proxy() as (where, asked),
    ):
        boss = Boss(f"https://127.0.0.1:{running.port}")
        boss.environment.update(https_proxy=f"http://me:pass%20word@{where}", SSL_CERT_FILE=str(cert))
        assert boss("tree").stdout.startswith("job\n")
        assert asked == [f"CONNECT 127.0.0.1:{running.port}"]


def test_a_name_and_password_in_the_url(module_boss: BossProcess) -> None:
    assert Boss(module_boss.url.replace("//", "//me:secret@"))("tree").stdout.startswith("job\n")
