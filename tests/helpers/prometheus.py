"""A real Prometheus that scrapes a real Boss each second."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.helpers.servers import BossProcess, free_port, until

needs_prometheus = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="prometheus (Debian's package) is not installed here"
)


@contextmanager
def scraping(boss: BossProcess, folder: Path, rules: Path) -> Iterator[httpx.Client]:
    """A client of the API of a Prometheus that scrapes Boss, and evaluates these rules."""
    config, port = folder / "prometheus.yml", free_port()
    config.write_text(
        f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
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
    """The result of a query."""
    answer = prometheus.get("/query", params={"query": expression})
    if answer.status_code == 503:  # it is still starting
        return []
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"]["result"])


def number(prometheus: httpx.Client, expression: str) -> float | None:
    """The only value that a query finds; None while there is none."""
    found = ask(prometheus, expression)
    assert len(found) <= 1, found
    return float(found[0]["value"][1]) if found else None
