"""How long the dashboard takes to open, and how long /metrics takes, beside a long history.

Usage: python -m bench.dashboard [--done N]
It needs Debian's chromium. There are two databases with 1,000 sources each, one with few done jobs and one with
millions. The dashboard is open when its tree shows the first source; the browser measures from the start of the
navigation. Each time is a new browser context, so that nothing is cached.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from tests.helpers.browser import LAUNCH
from tests.helpers.servers import BossProcess

from bench.flat import fill, replica
from bench.machine import ratio, write_section
from bench.postgres import Postgres, postgres_running

ROUNDS = 10
SOURCES = 1000
_OPENED = """
() => new Promise((shown) => {
    const open = () => document.querySelector(".tree tbody tr");
    const look = () => open() ? shown(performance.now()) : requestAnimationFrame(look);
    look();
})
"""


def opening(browser: Browser, boss: BossProcess) -> float:
    """Milliseconds until the dashboard shows the tree."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(boss.url, wait_until="commit")
    opened: float = page.evaluate(_OPENED)
    context.close()
    return opened


def scraping(boss: BossProcess) -> float:
    """Milliseconds of a scrape."""
    with boss.client() as client:
        client.get("/health/live")
        start = time.perf_counter()
        assert client.get("/metrics").status_code == 200
        return (time.perf_counter() - start) * 1000


def stock(postgres: Postgres, database: str, done: int) -> None:
    """Insert done jobs, and 100 available jobs and an active one of each source."""
    fill(postgres, database, "done-", "DONE", done, "source-", SOURCES)
    fill(postgres, database, "ready-", "AVAILABLE", 100 * SOURCES, "source-", SOURCES)
    fill(postgres, database, "held-", "ACTIVE", SOURCES, "source-", SOURCES)
    postgres.run(database, "VACUUM ANALYZE job")


def main() -> None:
    """Run the rounds and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--done", type=int, default=5_000_000)
    done = parser.parse_args().done
    measured: dict[str, Callable[[Browser, BossProcess], float]] = {
        "the dashboard opens": opening,
        "GET /metrics": lambda _, boss: scraping(boss),
    }
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in measured}
    with (
        tempfile.TemporaryDirectory(prefix="boss-bench-") as folder,
        postgres_running(Path(folder)) as postgres,
        replica(postgres, "small") as small,
        replica(postgres, "large") as large,
    ):
        stock(postgres, "small", SOURCES)
        stock(postgres, "large", done)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(**LAUNCH)
            for _ in range(ROUNDS):
                for name, measure in measured.items():
                    found[name][0].append(measure(browser, small))
                    found[name][1].append(measure(browser, large))
            browser.close()
    about = (
        f"{ROUNDS} rounds, in turn; {SOURCES:,} sources with 100 available jobs and an active one each; milliseconds, "
        "medians and the most."
    )
    rows = [
        f"| {name} | {statistics.median(one):.0f} | {statistics.median(other):.0f} | {max(other):.0f} "
        f"| {ratio(other, one)} |"
        for name, (one, other) in found.items()
    ]
    head = f"| | 1,000 done | {done:,} done | most | ratio | spread |"
    write_section(
        "The dashboard and the metrics", [about, "", head, "| --- | ---: | ---: | ---: | ---: | ---: |", *rows]
    )


if __name__ == "__main__":
    main()
