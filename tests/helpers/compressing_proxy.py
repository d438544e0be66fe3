"""A proxy that compresses."""

import gzip
import http.client
from http.server import BaseHTTPRequestHandler


class CompressingProxy(BaseHTTPRequestHandler):
    """Compresses responses like nginx, and then makes their ETags weak.

    With `obeys` it leaves alone what must not be transformed; nginx compresses everything. It answers 413 to a body of
    more than `most` bytes.
    """

    protocol_version = "HTTP/1.1"
    most = 1 << 30

    def __init__(self, port: int, obeys: bool, *args: object) -> None:
        self._port = port
        self._obeys = obeys
        super().__init__(*args)  # type: ignore[arg-type]

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if len(body) > self.most:
            self.send_error(413)
            return
        boss = http.client.HTTPConnection("127.0.0.1", self._port)
        boss.request(self.command, self.path, body, dict(self.headers))
        answer = boss.getresponse()
        content, headers = answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        boss.close()
        if not (self._obeys and "no-transform" in headers.get("cache-control", "")):
            headers["content-encoding"], content = "gzip", gzip.compress(content) if content else b""
            if "etag" in headers:
                headers["etag"] = f"W/{headers['etag']}"
        self.send_response(answer.status)
        for name, value in headers.items():
            if name not in ("content-length", "connection", "server", "date"):
                self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Log nothing."""
