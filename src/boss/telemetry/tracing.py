"""Traces, by OpenTelemetry, when OTEL_EXPORTER_OTLP_ENDPOINT says where they go; otherwise nothing is imported.

A job's `traceparent` (https://www.w3.org/TR/trace-context/) travels from its submit to its take in any case.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

# What cannot be read is as if it were not there, as the recommendation has it.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

# What starts spans; None while nobody wants any.
tracer: "Tracer | None" = None
_provider: "TracerProvider | None" = None


def start() -> None:
    """Trace from now on, if the environment says where to.

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
    """Send what has not been sent yet."""
    if _provider:
        _provider.shutdown()


def readable(traceparent: str | None) -> str | None:
    """The same, when it can be read."""
    return traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None


@contextmanager
def request_span(name: str, method: str, route: str, traceparent: str | None) -> "Iterator[Span]":
    """The span of a request, in the trace that it came with."""
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    assert tracer
    context = TraceContextTextMapPropagator().extract({"traceparent": traceparent} if traceparent else {})
    attributes = {"http.request.method": method, "http.route": route}
    with tracer.start_as_current_span(name, context, SpanKind.SERVER, attributes) as span:
        yield span


def of_submit(traceparent: str | None) -> str | None:
    """What is kept with a job: the span of its submit, or else what the request came with."""
    if tracer is None:
        return readable(traceparent)
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def of_takes(traceparents: Iterable[str | None]) -> None:
    """Link the span of a take to those of the submits."""
    if tracer is None:
        return
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    for traceparent in traceparents:
        if traceparent:
            context = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
            get_current_span().add_link(get_current_span(context).get_span_context())
