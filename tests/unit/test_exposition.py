"""Metrics are written as `prometheus_client` writes them."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily

from boss.telemetry import exposition

OPEN = "application/openmetrics-text; version=1.0.0"
ODD = 'back\\slash, "quotes"\nand a line'


class Odd:
    """What a database might tell: a family that is empty, and numbers that are none."""

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("boss_nothing", "Nothing.", labels=["source"])
        family = GaugeMetricFamily("boss_odd", ODD, labels=["why", "source"])
        for value in (0, -1.5, 1e6, 12345678, 1e-7, float("inf"), float("nan")):
            family.add_metric([f"{value}", ODD], value)
        yield family


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    for source in ("freg", ODD, "æøå"):
        Counter(f"boss_{len(source)}", ODD, ["source", "outcome"], registry=registry).labels(source, "failed").inc(7)
    Counter("boss_plain", "A counter.", registry=registry).inc()
    Gauge("boss_now", "A gauge.", registry=registry).set(2.5)
    Histogram("boss_seconds", "A histogram.", ["method"], registry=registry).labels("GET").observe(0.3)
    registry.register(Odd())
    return registry


@pytest.mark.parametrize("accept", ["", "text/plain; version=1.0.0; escaping=allow-utf-8", OPEN, f"{OPEN};q=0.5,*/*"])
def test_it_is_the_same_text(registry: CollectorRegistry, accept: str) -> None:
    encode, content_type = choose_encoder(accept)
    assert exposition.content_type_for(accept) == content_type
    assert exposition.text(registry.collect(), content_type) == encode(registry)


def test_a_malformed_version_gets_the_usual_format() -> None:
    assert exposition.content_type_for("text/plain; version=x") == exposition.content_type_for("")
