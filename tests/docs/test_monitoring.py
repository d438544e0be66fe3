"""The alerts, the Grafana dashboard and the examples for autoscalers in deploy/, asked of a real Prometheus."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]

from tests.helpers.databases import run_in
from tests.helpers.deploy import DEPLOY, tool
from tests.helpers.prometheus import ask, needs_prometheus, number, scraping
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, boss_running, until

ALERTS = DEPLOY / "alerts.yaml"
DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
# What only happens on a bad day has no series, or none that rises.
RARE = ("boss_source_attention", "boss_jobs_held", "failed|abandoned")
LINES = {"content-type": "application/x-ndjson"}

pytestmark = pytest.mark.slow


@needs_prometheus
def test_each_alert_fires_when_it_should() -> None:
    said = tool("promtool", "test", "rules", str(DEPLOY / "alerts.test.yaml"))
    assert said.returncode == 0, said.stdout + said.stderr


def test_no_text_of_an_alert_is_cut_off() -> None:
    """What follows a space and # would be a comment."""
    written = re.findall(r"^ +(?:summary|description): (.*)$", ALERTS.read_text(), re.MULTILINE)
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    assert [each.strip('"') for each in written] == [text for rule in rules for text in rule["annotations"].values()]


def as_grafana_asks(expression: str, source: str) -> str:
    """The query with Grafana's variables filled in."""
    filled = expression.replace("$__rate_interval", "1m").replace("$source", source)
    assert "$" not in filled
    return filled


@needs_prometheus
def test_the_dashboard_and_the_alerts_ask_for_what_boss_tells(
    module_boss: BossProcess, client: httpx.Client, tmp_path: Path
) -> None:
    with scraping(module_boss, tmp_path, ALERTS) as prometheus:
        submit(client, "a")
        until(lambda: number(prometheus, 'boss_jobs_submitted_total{source="a"}') == 1)
        # Prometheus sees what rises after it has seen the source.
        for _ in range(3):
            submit(client, "a")
        jobs = client.get("/job/available/a?limit=2").json()
        client.post(f"/job/done/a/{jobs[0]['id']}")
        until(lambda: len(ask(prometheus, "rate(boss_batch_size_count[1m]) > 0")) > 0)
        until(lambda: (number(prometheus, 'boss_jobs{source="a", state="done"}') or 0) >= 1)
        until(lambda: (number(prometheus, 'rate(boss_jobs_submitted_total{source="a"}[1m])') or 0) > 0)
        # As Grafana fills in all sources, one, and several.
        for source in (".*", "a", "(a|b\\\\.c)"):
            for expression in EXPRESSIONS:
                found = ask(prometheus, as_grafana_asks(expression, source))
                assert found or any(name in expression for name in RARE), expression
        rules = prometheus.get("/rules").json()["data"]["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
        # Those that only rarely have a series are there by name.
        told = set(re.findall(r"^(?:# TYPE )?(\w+)\b", client.get("/metrics").text, re.MULTILINE))
        asked = {name for each in (*EXPRESSIONS, *(rule["query"] for rule in rules)) for name in _names(each)}
        assert {name for name in asked if name not in told} == set()
        assert ask(prometheus, 'ALERTS{alertstate="firing"}') == []


def _names(expression: str) -> set[str]:
    return set(re.findall(r"\bboss_\w+", expression))


@needs_prometheus
def test_the_dashboard_lets_sources_be_chosen(module_boss: BossProcess, client: httpx.Client, tmp_path: Path) -> None:
    [variable] = [each for each in DASHBOARD["templating"]["list"] if each["name"] == "source"]
    found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
    assert found
    submit(client, "chosen")
    with scraping(module_boss, tmp_path, ALERTS) as prometheus:

        def choices() -> list[str]:
            answer = prometheus.get(f"/label/{found[2]}/values", params={"match[]": found[1]})
            return list(answer.json()["data"])

        until(lambda: "chosen" in choices())
    about_jobs = [each for each in EXPRESSIONS if re.search(r"boss_(jobs|leases|oldest|source)_?", each)]
    assert len(about_jobs) >= 12
    assert all('source=~"$source"' in each for each in about_jobs)


@needs_prometheus
def test_one_bad_source_of_three_hundred_is_named(database: str, tmp_path: Path) -> None:
    rules = tmp_path / "alerts.yaml"
    rules.write_text(re.sub(r"for: \d+m", "for: 1s", ALERTS.read_text()))
    with boss_running("--database", database) as boss, boss.client() as client:
        for n in range(300):
            client.post(f"/job/available/good-{n}", content="{}\n" * 4, headers=LINES)
            jobs = client.get(f"/job/available/good-{n}?limit=4").json()
            lines = "".join(json.dumps({"id": job["id"]}) + "\n" for job in jobs)
            assert client.post(f"/job/done/good-{n}", content=lines, headers=LINES).status_code == 200
        for source in ("failing", "paused") * 3:
            client.post(f"/job/done/{source}/{submit(client, source)}?outcome=failed")
        for source in ("stuck", "stuck", "unasked", "paused"):
            submit(client, source)
        client.get("/job/available/stuck")
        client.put("/source/paused", json={"paused": True})
        run_in(database, "UPDATE job SET submitted_at = now() - interval '1 hour' WHERE status = 'AVAILABLE'")
        bad = {("BossSourceFails", "failing"), ("BossSourceIsStuck", "stuck"), ("BossNobodyAsks", "unasked")}
        with scraping(boss, tmp_path, rules) as prometheus:

            def firing() -> set[tuple[str, str]]:
                found = [each["metric"] for each in ask(prometheus, 'ALERTS{alertstate="firing"}')]
                return {(each["alertname"], each.get("source", "")) for each in found}

            until(lambda: firing() == bad, lambda: str(firing()))
            # The paused one needs no more than a note, though it has failed.
            for reason in ("paused", "failing"):
                assert number(prometheus, f'boss_source_attention{{source="paused", reason="{reason}"}}') == 1
            client.put("/source/paused", json={"paused": False})
            bad |= {("BossNobodyAsks", "paused"), ("BossSourceFails", "paused")}
            until(lambda: firing() == bad, lambda: str(firing()))


def manifest(name: str) -> Any:
    [document] = yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text())
    return document


KEDA = manifest("boss-work-keda.yaml")
HPA = manifest("boss-work-hpa.yaml")
ADAPTER = manifest("prometheus-adapter.yaml")
SLOTS = re.findall(r'--slots, "(\d+)"', (DEPLOY / "kubernetes" / "boss-work.yaml").read_text())


def test_kubernetes_takes_the_autoscaler() -> None:
    said = tool("kubernetes-validate", "--strict", str(DEPLOY / "kubernetes" / "boss-work-hpa.yaml"))
    assert said.returncode == 0, said.stdout + said.stderr


def test_both_autoscalers_scale_the_converters_to_the_jobs_that_each_works_on() -> None:
    [trigger], [metric] = KEDA["spec"]["triggers"], HPA["spec"]["metrics"]
    assert KEDA["spec"]["scaleTargetRef"] == {"name": "boss-work"}
    assert HPA["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "boss-work"}
    assert [trigger["metadata"]["threshold"], metric["external"]["target"]["averageValue"]] == SLOTS * 2
    [rule] = ADAPTER["rules"]["external"]
    assert metric["external"]["metric"]["name"] == rule["name"]["as"]


@needs_prometheus
def test_what_the_autoscalers_ask_for_is_the_work_of_converters(database: str, tmp_path: Path) -> None:
    [rule], [metric] = ADAPTER["rules"]["external"], HPA["spec"]["metrics"]
    [(label, value)] = metric["external"]["metric"]["selector"]["matchLabels"].items()
    queries = [
        KEDA["spec"]["triggers"][0]["metadata"]["query"],
        rule["metricsQuery"].replace("<<.LabelMatchers>>", f'{label}="{value}"'),
    ]
    with boss_running("--database", database) as boss, boss.client() as client:
        for _ in range(7):
            submit(client, "freg")
        submit(client, "freg", delay=1000)
        submit(client, "another")
        with scraping(boss, tmp_path, ALERTS) as prometheus:
            # Also before the first take: it is for this number that the first converter is started.
            until(lambda: [number(prometheus, each) for each in queries] == [7, 7])
            assert ask(prometheus, rule["seriesQuery"])
            client.get("/job/available/freg?limit=3")
            client.put("/source/freg", json={"limit": 5})
            until(lambda: [number(prometheus, each) for each in queries] == [5, 5])
            client.put("/source/freg", json={"paused": True})
            until(lambda: [number(prometheus, each) for each in queries] == [3, 3])
