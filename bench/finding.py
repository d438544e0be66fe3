"""Times GET /jobs by every combination of its filters, beside a long history.

Usage: python -m bench.finding [--done N]

Each filter is asked for its first pages, one after the other. A page that takes long comes back short, so the longest
page matters, and how much of the history the pages have walked through.
"""

import argparse
import tempfile
import time
from itertools import product
from pathlib import Path

import httpx
from tests.helpers.servers import boss_running

from bench.flat import FILL_BATCH
from bench.machine import write_section
from bench.postgres import Postgres, postgres_running

PAGES = 20
WANTED_MS = 100
# Two of a hundred jobs fail, one of a thousand is stopped. One source has a thousandth of all, and another a millionth.
_FILL = """
INSERT INTO job (id, source, document, status, attempt, submitted_at, taken_at, finished_at, outcome, result)
SELECT md5(n::text),
       CASE WHEN n % 1000 = 500 THEN 'rare' WHEN n % 1000000 = 1 THEN 'single' ELSE 'source-' || n % 20 END,
       jsonb_build_object('payload', repeat(md5(n::text), 6)), 'DONE', 1, at - interval '1 minute', at, at,
       CASE WHEN n % 1000 = 7 THEN 'stopped' WHEN n % 50 = 3 THEN 'failed' WHEN n % 5000 = 11 THEN 'abandoned'
            ELSE 'completed' END,
       CASE WHEN n % 1000 = 7 THEN '{"reason": "wrong file"}'::jsonb
            WHEN n % 50 = 3 THEN jsonb_build_object('error', 'connection refused by host ' || n % 977)
            ELSE jsonb_build_object('rows', n % 1000) END
FROM generate_series($1::int, $2::int) AS n
CROSS JOIN LATERAL (SELECT now() - interval '40 days' + n * interval '500 ms' AS at) AS times
"""
FILTERS: dict[str, tuple[str, ...]] = {
    "state": ("", "done"),
    "source": ("", "source-7", "rare", "single", "nobody"),
    "outcome": ("", "completed", "failed", "stopped", "abandoned"),
    "range": ("", "a day", "before all"),
    "reason": ("", "refused by HOST 7", "file", "never said"),
}


def fill(postgres: Postgres, database: str, jobs: int) -> None:
    """Insert so many done jobs."""
    for first in range(1, jobs + 1, FILL_BATCH):
        postgres.run(database, _FILL, first, min(first + FILL_BATCH - 1, jobs))
    postgres.run(database, "VACUUM (ANALYZE) job")
    postgres.run(database, "CHECKPOINT")


def query_of(chosen: dict[str, str]) -> dict[str, str]:
    """The query for these filters."""
    query = {name: value for name, value in chosen.items() if value and name != "range"}
    day = time.time() - 20 * 86_400
    if chosen["range"] == "a day":
        query |= {"since": instant(day), "until": instant(day + 86_400)}
    elif chosen["range"] == "before all":
        query |= {"until": instant(day - 60 * 86_400)}
    return query


def instant(seconds: float) -> str:
    """An instant as RFC 3339 has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def pages(client: httpx.Client, query: dict[str, str]) -> tuple[list[float], int, bool]:
    """How long each of the first pages took in milliseconds, how many jobs they had, and whether there are more."""
    times: list[float] = []
    jobs, address = 0, str(httpx.URL("/jobs", params=query))
    while address and len(times) < PAGES:
        start = time.perf_counter()
        page = client.get(address).raise_for_status().json()
        times.append((time.perf_counter() - start) * 1000)
        jobs, address = jobs + len(page["jobs"]), page["next"]
    return times, jobs, bool(address)


def main() -> None:
    """Measure every combination, and write the slowest of each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--done", type=int, default=5_000_000)
    asked = parser.parse_args()
    rows, worst = [], 0.0
    with tempfile.TemporaryDirectory(prefix="boss-bench-") as folder, postgres_running(Path(folder)) as postgres:
        database = postgres.new_database("found")
        with boss_running("--database", database) as boss, boss.client() as client:
            fill(postgres, "found", asked.done)
            for values in product(*FILTERS.values()):
                chosen = dict(zip(FILTERS, values, strict=True))
                query = query_of(chosen)
                times, jobs, more = pages(client, query)
                worst = max(worst, *times)
                words = " ".join(f"{name}={value}" for name, value in chosen.items() if value) or "none"
                first, longest = times[0], max(times)
                rows.append(
                    (longest, f"| {words} | {first:.0f} | {longest:.0f} | {jobs:,} | {'yes' if more else ''} |")
                )
                print(rows[-1][1], flush=True)
    slowest = [line for _, line in sorted(rows, reverse=True)[:25]]
    within = sum(longest <= WANTED_MS for longest, _ in rows)
    write_section(
        "Finding",
        [
            f"GET /jobs beside {asked.done:,} done jobs, for {len(rows)} combinations of filters, up to {PAGES} pages "
            f"of 100 each. In {within} of them every page came within {WANTED_MS} ms; the longest took {worst:.0f} ms. "
            "These are the slowest:",
            "",
            "| filters | first page, ms | longest page, ms | jobs on these pages | more |",
            "| --- | ---: | ---: | ---: | --- |",
            *slowest,
        ],
    )


if __name__ == "__main__":
    main()
