"""The programs of docs/converters.md as files that run, and a proxy to Boss that interferes with their requests."""

import http.client
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.servers import until

PAGE = (Path(__file__).parents[2] / "docs" / "converters.md").read_text()
# By the language of a block: the file for its program, and the command that runs it.
PROGRAMS = {
    "sh": ("converter.sh", "sh"),
    "java": ("Converter.java", "java"),
    "js": ("converter.mjs", "node"),
    "r": ("converter.R", "Rscript"),
    "go": ("converter.go", "go"),
}


def code_of(language: str) -> str:
    """The program in this language."""
    [code] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(code)


@pytest.fixture(scope="session", params=PROGRAMS)
def command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that runs a program, without its source; skips the test where its language is not installed."""
    file, program = PROGRAMS[request.param]
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed here")
    folder = tmp_path_factory.mktemp("program")
    (folder / file).write_text(code_of(request.param))
    if program == "go":  # `go run` would leave the program running when it is killed
        subprocess.run(["go", "build", file], cwd=folder, check=True)
        return [str(folder / "converter")]
    if program == "java" and shutil.which("javac"):
        # `java Converter.java` compiles it at each start, which takes more than a second of the processor.
        subprocess.run(["javac", file], cwd=folder, check=True)
        return [str(shutil.which(program)), "-XX:TieredStopAtLevel=1", "-cp", str(folder), "Converter"]
    return [str(shutil.which(program)), str(folder / file)]


class Running(NamedTuple):
    """A program that converts."""

    process: subprocess.Popen[bytes]

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until the condition holds; the program must not end before."""

        def checked() -> bool:
            assert self.process.poll() is None, "the converter has ended"
            return holds()

        until(checked)


@contextmanager
def converting(command: list[str], url: str, source: str, **environment: str) -> Iterator[Running]:
    """Run a program for the source; it is killed at the end of the block."""
    environment = {"BOSS_URL": url.rstrip("/"), "PATH": "/usr/local/bin:/usr/bin:/bin", **environment}
    with subprocess.Popen([*command, source], env=environment) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


class Asked(NamedTuple):
    """A request that came through the proxy."""

    method: str
    path: str
    key: str | None


class Way(ThreadingHTTPServer):
    """A proxy to a port of this machine, which interferes with requests.

    Attributes:
        keeps: whether connections are kept for further requests.
        takes: what to do with the next takes: a status is returned without asking Boss, "lose" loses Boss's response,
            "spoil" changes the body on its way to Boss, and "" does nothing.
        ends: the same for the next requests that end a job.
        asked: the requests that came.
    """

    daemon_threads = True

    def __init__(self, to: int) -> None:
        super().__init__(("127.0.0.1", 0), _OnTheWay)
        self.to = to
        self.keeps = True
        self.takes: list[int | str] = []
        self.ends: list[int | str] = []
        self.asked: list[Asked] = []

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Log nothing: killed programs close their connections."""


class _OnTheWay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Way

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append(Asked(self.command, self.path, self.headers.get("idempotency-key")))
        if self.path.startswith("/job/a") and self.command == "GET":
            events = self.server.takes
        else:
            events = self.server.ends if self.command in ("POST", "DELETE") else []
        event = events.pop(0) if events else ""
        if isinstance(event, int):
            self._answer(event, {}, b"<p>Something on the way.</p>")
            return
        way = http.client.HTTPConnection("127.0.0.1", self.server.to)
        headers = {name: self.headers[name] for name in ("if-match", "idempotency-key") if name in self.headers}
        way.request(self.command, self.path, b'{"not": NaN}' if event == "spoil" else body, headers)
        answer = way.getresponse()
        content = answer.read()
        way.close()
        if event == "lose":
            self.close_connection = True
        else:
            kept = {
                name: value for name, value in answer.getheaders() if name.lower() not in ("content-length", "date")
            }
            self._answer(answer.status, kept, content)

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):  # whatever the method
            return self._pass_on
        raise AttributeError(name)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("content-length", str(len(body)))
        if not self.server.keeps:
            self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def way_to(port: int) -> Iterator[Way]:
    """Run a proxy to this port; it is closed at the end of the block."""
    way = Way(port)
    thread = threading.Thread(target=way.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield way
    finally:
        way.shutdown()
        thread.join()
        way.server_close()
