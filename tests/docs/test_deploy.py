"""The files in deploy/ work: shown by the linter of each kind, and by a real Prometheus that scrapes a real Boss."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.helpers.deploy import DEPLOY, tool
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, free_port, until

DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
# What only happens on a bad day.
RARE = ("boss_jobs_given_back_total",)

needs_prometheus = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="prometheus (Debian's package) is not installed here"
)


@pytest.mark.parametrize(
    "command",
    [
        ("hadolint", str(DEPLOY / "Dockerfile")),
        ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")),
        ("kubernetes-validate", "--strict", str(DEPLOY / "kubernetes" / "boss.yaml")),
    ],
    ids=lambda command: command[0],
)
def test_a_linter_has_nothing_to_say(command: tuple[str, ...]) -> None:
    said = tool(*command)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")
def test_systemd_takes_the_unit() -> None:
    said = tool("systemd-analyze", "verify", str(DEPLOY / "boss.service"))
    complaints = [line for line in said.stderr.splitlines() if "boss.service" in line]
    # The unit is right; only Boss is not installed there.
    assert complaints in ([], ["boss.service: Command /opt/boss/bin/boss is not executable: No such file or directory"])


@needs_prometheus
def test_each_alert_fires_when_it_should() -> None:
    said = tool("promtool", "test", "rules", str(DEPLOY / "alerts.test.yaml"))
    assert said.returncode == 0, said.stdout + said.stderr


@contextmanager
def scraping(boss: BossProcess, folder: Path) -> Iterator[httpx.Client]:
    """A Prometheus that scrapes Boss each second, with our alert rules."""
    config, port = folder / "prometheus.yml", free_port()
    config.write_text(
        f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{DEPLOY / "alerts.yaml"}]
scrape_configs:
  - job_name: boss
    static_configs: [{{targets: ["127.0.0.1:{boss.port}"]}}]
"""
    )
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1") as prometheus:

            def scraped_twice() -> bool:
                try:
                    return len(ask(prometheus, "count_over_time(up[1m]) > 3")) == 1
                except httpx.ConnectError:
                    return False

            until(scraped_twice)
            yield prometheus
    finally:
        server.terminate()
        server.wait()


def ask(prometheus: httpx.Client, expression: str) -> list[dict[str, Any]]:
    answer = prometheus.get("/query", params={"query": expression})
    if answer.status_code == 503:  # it is still starting
        return []
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"]["result"])


@needs_prometheus
def test_the_dashboard_and_the_alerts_ask_for_what_boss_tells(
    module_boss: BossProcess, client: httpx.Client, tmp_path: Path
) -> None:
    with scraping(module_boss, tmp_path) as prometheus:
        for number in range(4):
            submit(client, f"a/a-{number}")
        client.get("/job/available/a?limit=2")
        client.post("/job/done/a/a-0")
        until(lambda: len(ask(prometheus, "rate(boss_batch_size_count[1m]) > 0")) > 0)
        until(lambda: len(ask(prometheus, 'boss_jobs{source="a", state="done"} == 1')) > 0)
        for expression in EXPRESSIONS:
            found = ask(prometheus, expression.replace("$__rate_interval", "1m"))
            assert found or any(name in expression for name in RARE), expression
        rules = prometheus.get("/rules").json()["data"]["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
        told = set(re.findall(r"^(\w+)\b", client.get("/metrics").text, re.MULTILINE))
        asked = {name for rule in rules for name in re.findall(r"\bboss_\w+", rule["query"])}
        assert {name for name in asked if name not in told} == set()
        assert ask(prometheus, 'ALERTS{alertstate="firing"}') == []
