"""Traces with OpenTelemetry, if OTEL_EXPORTER_OTLP_ENDPOINT says where to send them; otherwise it is not imported.

In any case a job's `traceparent` (https://www.w3.org/TR/trace-context/) is passed on from its submit to its take.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

# A `traceparent` that does not match is ignored, as the recommendation says.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

# Starts spans; None while tracing is off.
tracer: "Tracer | None" = None
_provider: "TracerProvider | None" = None


def start() -> None:
    """Start tracing, if the environment says where to send traces.

    Raises:
        ModuleNotFoundError: OpenTelemetry is not installed.
    """
    global tracer, _provider
    if not (os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    os.environ.setdefault("OTEL_SERVICE_NAME", "boss")
    _provider = TracerProvider(resource=Resource.create())
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = _provider.get_tracer("boss")


def stop() -> None:
    """Send the spans that have not been sent yet."""
    if _provider:
        _provider.shutdown()


def readable(traceparent: str | None) -> str | None:
    """The `traceparent` itself if it is valid; None otherwise."""
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None


@contextmanager
def request_span(name: str, method: str, route: str, traceparent: str | None) -> "Iterator[Span]":
    """Start the span of a request, in the trace that the request belongs to."""
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    assert tracer
    context = TraceContextTextMapPropagator().extract({"traceparent": traceparent} if traceparent else {})
    attributes = {"http.request.method": method, "http.route": route}
    with tracer.start_as_current_span(name, context, SpanKind.SERVER, attributes) as span:
        yield span


def of_submit(traceparent: str | None) -> str | None:
    """The `traceparent` to store with a job: of the span of its submit, or else the one of the request."""
    if tracer is None:
        return readable(traceparent)
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def of_takes(traceparents: Iterable[str | None]) -> None:
    """Link the span of a take to the spans of the submits."""
    if tracer is None:
        return
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    for traceparent in traceparents:
        if traceparent:
            context = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
            get_current_span().add_link(get_current_span(context).get_span_context())
