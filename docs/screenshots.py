"""Makes the pictures of the page that the README shows: a Boss under load, in light and dark, one source and one job.

Usage: python docs/screenshots.py
Needs Debian's package chromium. It starts a Boss of its own with converters that work, fail and wait, gives it
an hour's history, and writes docs/page-light.png, page-dark.png, page-phone.png, source.png and job.png.
"""

import asyncio
import contextlib
import random
import sys
import tempfile
from pathlib import Path

import asyncpg
from playwright.async_api import Browser, async_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.helpers.browser import LAUNCH
from tests.helpers.servers import boss_running

from boss import AsyncClient, AsyncJob, Converter, Failure
from boss.postgres.embedded import embedded_postgres

HERE = Path(__file__).parent
SOURCES = ("altinn3", "brreg", "freg", "hendelser", "kartverket", "sirius", "skatt-inntekt", "tinglysing")

# An hour's history, as maintenance would have counted it, and its sum under ''.
HISTORY = """
INSERT INTO source_history (seconds, start, source, submitted, done, failed, waiting, was_waiting,
                            wait_buckets, wait_jobs, run_buckets, run_jobs)
SELECT 60, minute, source, jobs, jobs + 20 * weight * random(),
       CASE source WHEN 'kartverket' THEN 60 WHEN '' THEN 14 ELSE 5 END * weight * random(), jobs / 2 + 30 * weight, 0,
       ARRAY[30 + (4 * random())::int, 44 + (6 * random())::int], ARRAY[90, 10],
       ARRAY[52 + (2 * random())::int, 58 + (3 * random())::int], ARRAY[80, 20]
FROM (SELECT minute, source, weight, weight * (90 + 50 * sin(extract(epoch FROM minute) / 500 + weight)) AS jobs
      FROM generate_series(date_trunc('minute', now()) - interval '60 min',
                           date_trunc('minute', now()) - interval '1 min', '1 min') AS minute,
           unnest($1::text[], $2::float8[]) AS busy(source, weight)) AS history
ON CONFLICT (seconds, start, source) DO UPDATE
SET submitted = EXCLUDED.submitted, done = EXCLUDED.done, failed = EXCLUDED.failed, waiting = EXCLUDED.waiting,
    run_buckets = EXCLUDED.run_buckets, run_jobs = EXCLUDED.run_jobs,
    wait_buckets = EXCLUDED.wait_buckets, wait_jobs = EXCLUDED.wait_jobs
"""
DONE = """
INSERT INTO job (id, status, source, document, attempt, taken_at, finished_at, outcome)
SELECT source || '-' || to_char(n, 'FM000000'), 'DONE', source, '{"topic": "data"}', 1,
       now() - interval '2 days', now() - interval '2 days', 'completed'
FROM unnest($1::text[], $2::float8[]) AS busy(source, weight), generate_series(1, (weight * 90000)::int) AS n
"""


async def convert(job: AsyncJob) -> dict[str, object]:
    """Take a while, and now and then fail; one source fails often."""
    chance = random.Random(job.id)
    if chance.random() < (0.4 if job.source == "kartverket" else 0.02):
        reasons = (
            "no column AARSINNTEKT in the file of 2025",
            "storagePath /tmp/in is empty",
            "record 41,882: not UTF-8",
        )
        raise Failure(chance.choice(reasons), for_good=True)
    await asyncio.sleep(chance.uniform(0.5, 30))
    return {"rows": chance.randrange(10_000)}


async def submit_forever(boss: AsyncClient) -> None:
    """Jobs for every source, at its own pace."""
    while True:
        source = random.choice(SOURCES)
        document = {"storageRoot": "gs://bucket", "storagePath": f"/{source}/in", "storageVersion": 42, "topic": "data"}
        await boss.submit(source, document, attempts=3)
        await asyncio.sleep(0.25)


async def picture(browser: Browser, url: str, name: str, scheme: str, width: int = 1440, height: int = 900) -> None:
    """One picture of the page."""
    context = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": width, "height": height},
        device_scale_factor=1.5,
    )
    page = await context.new_page()
    await page.goto(url)
    await page.wait_for_selector(".live.on, h1")
    await page.wait_for_timeout(2500)
    await page.screenshot(path=HERE / name)
    await context.close()


async def main() -> None:
    """Make all of them."""
    with tempfile.TemporaryDirectory(prefix="boss-pictures-") as folder, contextlib.ExitStack() as running:
        async with embedded_postgres(Path(folder)) as database:
            server = await asyncio.to_thread(running.enter_context, boss_running("--database", database, "--quiet"))
            connection = await asyncpg.connect(database)
            weights = [0.2, 0.05, 0.9, 0.4, 0.1, 0.3, 0.6, 0.02]
            await connection.execute(HISTORY, ["", *SOURCES], [sum(weights), *weights])
            await connection.execute(DONE, SOURCES, weights)
            await connection.close()
            async with AsyncClient(server.url) as boss, async_playwright() as playwright:
                await boss.set_rule("hendelser", paused=True)
                for _ in range(100):
                    await boss.submit(random.choice(SOURCES), {"topic": "data"}, attempts=3)
                converter = Converter(convert, url=server.url, slots=24, lease=90, grace=0)
                browser = await playwright.chromium.launch(**LAUNCH)
                working = [asyncio.create_task(each) for each in (converter.work(), submit_forever(boss))]
                await asyncio.sleep(45)
                await picture(browser, server.url, "page-light.png", "light")
                await picture(browser, server.url, "page-dark.png", "dark")
                await picture(browser, server.url, "page-phone.png", "light", 390, 844)
                await picture(browser, f"{server.url}/#/source/kartverket", "source.png", "light")
                job = next(slot.job for slot in converter.slots if slot.job)
                await picture(browser, f"{server.url}/#/job/{job.id}", "job.png", "light", 1240, 620)
                await browser.close()
                for task in working:
                    task.cancel()
                await asyncio.gather(*working, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
