"""Traces: a job's `traceparent` travels from its submit to its take, and spans go to a collector."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from boss import Client
from tests.helpers.commands import Boss
from tests.helpers.lines import read_lines
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, boss_running

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


class TestWithoutOpenTelemetry:
    def test_it_travels(self, client: httpx.Client, source: str) -> None:
        for _ in range(3):
            client.post(f"/job/available/{source}", content="{}", headers={"traceparent": TRACEPARENT})
        submit(client, source)
        first = client.get(f"/job/available/{source}")
        assert first.headers["traceparent"] == TRACEPARENT
        client.delete(first.headers["location"], params={"delay": 0})
        again = client.post(f"/job/active/{source}/{first.json()['id']}", headers={"idempotency-key": "a"})
        assert again.headers["traceparent"] == TRACEPARENT
        lines = read_lines(
            client.get(f"/job/available/{source}?limit=9", headers={"accept": "application/x-ndjson"}).text
        )
        assert [line.get("traceparent") for line in lines] == [TRACEPARENT, TRACEPARENT, None]
        assert set(lines[2]) == {"id", "source", "attempt", "job"}

    @pytest.mark.parametrize(
        "nonsense", ["", "x", TRACEPARENT.replace("4b", "4B", 1), f"00-{'0' * 32}-{SPAN}-01", f"{TRACEPARENT}-\xe5"]
    )
    def test_what_cannot_be_read_is_left_out(self, client: httpx.Client, source: str, nonsense: str) -> None:
        headers = {b"traceparent": nonsense.encode("latin-1")}
        assert client.post(f"/job/available/{source}", content="{}", headers=headers).status_code == 201
        assert "traceparent" not in client.get(f"/job/available/{source}").headers

    def test_a_command_gets_it(self, module_boss: BossProcess, client: httpx.Client, source: str) -> None:
        with Client(module_boss.url) as boss:
            id = boss.submit(source, {}, traceparent=TRACEPARENT)
        Boss(module_boss.url)("work", source, "--once", "--", "sh", "-c", 'echo "{\\"in\\": \\"$TRACEPARENT\\"}"')
        assert client.get(f"/jobs/{id}").json()["result"] == {"in": TRACEPARENT}


class Collector(http.server.ThreadingHTTPServer):
    """Takes what is exported by OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        super().__init__(("127.0.0.1", 0), _Taking)


class _Taking(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        request = ExportTraceServiceRequest.FromString(body)
        assert isinstance(self.server, Collector)
        for of_resource in request.resource_spans:
            assert any(attribute.value.string_value == "boss" for attribute in of_resource.resource.attributes)
            self.server.spans += [span for scope in of_resource.scope_spans for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


def test_spans_are_exported_and_linked(database: str, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    with boss_running("--database", database) as boss, boss.client() as client:
        client.post("/job/available/freg/one", content="{}", headers={"traceparent": TRACEPARENT})
        taken = client.get("/job/available/freg")
        client.post("/job/done/freg/none")
    spans = {span.name: span for span in collector.spans}
    submitted, take = spans["POST /job/available/{source}/{id}"], spans["GET /job/available/{source}"]
    assert (submitted.trace_id.hex(), submitted.parent_span_id.hex()) == (TRACE, SPAN)
    assert taken.headers["traceparent"] == f"00-{TRACE}-{submitted.span_id.hex()}-01"
    assert [(link.trace_id.hex(), link.span_id) for link in take.links] == [(TRACE, submitted.span_id)]
    assert take.trace_id.hex() != TRACE
    statuses = {
        name: attribute.value.int_value
        for name, span in spans.items()
        for attribute in span.attributes
        if attribute.key == "http.response.status_code"
    }
    assert statuses == {submitted.name: 201, take.name: 200, "POST /job/done/{source}/{id}": 404}


def test_without_the_package_it_says_what_to_install(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    code = (
        "import sys; sys.modules['opentelemetry.sdk'] = None; from boss.cli import main; "
        f"sys.argv = ['boss', 'serve', '--database', {database!r}]; main()"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == 1
    assert said.stderr.startswith("boss: OTEL_EXPORTER_OTLP_ENDPOINT is set, but opentelemetry.sdk")
