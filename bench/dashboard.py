"""How long the dashboard takes to open, how long /metrics takes, and what open dashboards cost, beside a long history.

Usage: python -m bench.dashboard [--done N]
It needs Debian's chromium. There are two databases with 1,000 sources each, one with few done jobs and one with
millions. The dashboard is open when its list shows the first source; the browser measures from the start of the
navigation. Each time is a new browser context, so that nothing is cached.

The feed is read by 50 pages, while one job a second is submitted, taken and finished. Its cost is the processor time of
Boss and PostgreSQL together, less that of the same time without pages.
"""

import argparse
import contextlib
import selectors
import socket
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright
from tests.helpers.browser import LAUNCH
from tests.helpers.servers import BossProcess

from bench.flat import DOCUMENT, FILL_BATCH, fill, replica
from bench.machine import ratio, write_section
from bench.postgres import Postgres, postgres_running
from bench.processor import spent

ROUNDS = 10
PAGES = 50
# How long the feed is measured in each round, in seconds, and how long it is given to start.
_FEED_S, _SETTLE_S, _FEED_ROUNDS = 60, 10, 2
SOURCES = 1000
_FILL_HISTORY = f"""
INSERT INTO job_done_1 (id, source, document, status, position, attempt, finished_at, outcome)
SELECT 'done-' || lpad(n::text, 9, '0'), 'source-' || (n % {SOURCES}), $1::text::jsonb, 'DONE', n, 1,
       now() - interval '1 day' - n * interval '1 ms', 'completed'
FROM generate_series($2::int, $3::int) AS n
"""
_OPENED = """
() => new Promise((shown) => {
    const open = () => document.querySelector(".all-sources tbody tr");
    const look = () => open() ? shown(performance.now()) : requestAnimationFrame(look);
    look();
})
"""


def opening(browser: Browser, boss: BossProcess) -> float:
    """Milliseconds until the dashboard shows the first source."""
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
    """Insert done jobs, and 100 available jobs and an active one of each source.

    The done ones are in a volume, from yesterday and before: nothing is left to be moved or counted.
    """
    for first in range(1, done + 1, FILL_BATCH):
        postgres.run(database, _FILL_HISTORY, DOCUMENT, first, min(first + FILL_BATCH - 1, done))
    fill(postgres, database, "ready-", "AVAILABLE", 100 * SOURCES, "source-", SOURCES)
    fill(postgres, database, "held-", "ACTIVE", SOURCES, "source-", SOURCES)
    postgres.run(database, "VACUUM ANALYZE job")
    postgres.run(database, "VACUUM ANALYZE job_done_1")


def working(boss: BossProcess, seconds: float) -> None:
    """Submit, take and finish a job each second, for so many seconds."""
    until = time.monotonic() + seconds
    with boss.client() as client:
        while time.monotonic() < until:
            client.post("/job/available/source-1", content=b"{}").raise_for_status()
            job = client.get("/job/available/source-1").raise_for_status().json()
            client.post(f"/job/done/source-1/{job['id']}").raise_for_status()
            time.sleep(1)


def cost(boss: BossProcess, data: Path) -> tuple[float, float]:
    """The processor time of Boss and of PostgreSQL, in percent of a core, while little is done."""
    working(boss, _SETTLE_S)
    before, started = spent(boss.process.pid, data), time.monotonic()
    working(boss, _FEED_S)
    after, took = spent(boss.process.pid, data), time.monotonic() - started
    return 100 * (after.boss - before.boss) / took, 100 * (after.postgres - before.postgres) / took


@contextlib.contextmanager
def pages_open(boss: BossProcess) -> Iterator[tuple[float, Counter[str]]]:
    """So many pages that read the feed; yields when each had its first event, in seconds, and counts what they read."""
    read: Counter[str] = Counter()
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        started = time.monotonic()
        for _ in range(PAGES):
            page = stack.enter_context(socket.create_connection(("127.0.0.1", boss.port)))
            page.sendall(b"GET /watch HTTP/1.1\r\nHost: localhost\r\n\r\n")
            selector.register(page, selectors.EVENT_READ)
        waiting = {key.fd for key in selector.get_map().values()}
        stop = threading.Event()
        first: list[float] = []

        def drain() -> None:
            while not stop.is_set():
                for key, _ in selector.select(0.1):
                    data = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
                    read["bytes"] += len(data)
                    if b"data: " in data:
                        waiting.discard(key.fd)
                if not waiting and not first:
                    first.append(time.monotonic() - started)

        with ThreadPoolExecutor(1) as threads:
            threads.submit(drain)
            while not first:
                time.sleep(0.01)
            read.clear()
            try:
                yield first[0], read
            finally:
                stop.set()


def feeding(boss: BossProcess, data: Path) -> list[str]:
    """What the feed costs, as a table."""
    rows, firsts, sizes = [], [], []
    for _ in range(_FEED_ROUNDS):
        without = cost(boss, data)
        with pages_open(boss) as (first, read):
            found = cost(boss, data)
            firsts.append(first)
            sizes.append(read["bytes"] / PAGES / (_FEED_S + _SETTLE_S) / 1024)
        more = [a - b for a, b in zip(found, without, strict=True)]
        cells = " | ".join(f"{each:.1f}" for pair in zip(without, found, strict=True) for each in pair)
        rows.append(f"| {cells} | {sum(more):.1f} | 5 |")
    return [
        "",
        f"{PAGES} open pages, in percent of a core, beside one job a second. All have the first event within "
        f"{max(firsts):.2f} s; each then reads {max(sizes):.1f} KiB a second.",
        "",
        "| Boss, no page | Boss | PostgreSQL, no page | PostgreSQL | the feed | wanted |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
        *rows,
    ]


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
        feed = feeding(large, Path(folder))
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
    write_section("The dashboard's feed", [f"Beside {done:,} done jobs and {SOURCES:,} sources.", *feed])


if __name__ == "__main__":
    main()
