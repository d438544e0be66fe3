"""A soak: three replicas under mixed load at 70 % of their peak, while replicas, sessions and PostgreSQL die.

Usage: python -m bench.soak [--minutes N]

From the second minute on nothing may grow, and no job may be lost. It checks both, and the exit code tells.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import asyncpg
import psutil
from tests.helpers.servers import BossProcess, free_port, postmaster

from bench.machine import RESULTS, write_section
from bench.postgres import Postgres, postgres_running
from bench.soak_report import ALLOWED, UNITS, Ledger, Report, Sample, plot

SHARE = 0.7
CONVERTERS = 32
# The number of takers that only wait, for a source that has no jobs.
IDLE = 200
SOURCES = 5
# How long done jobs are kept, in days, so that the table reaches a size and stays there.
KEEP = "0.0005"
PEAK_SECONDS = 20
SAMPLE = 5.0
FAULT = 20.0
LEASE = 5
DOCUMENT = '{"payload": "' + "x" * 186 + '"}'
_OWN_SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'boss'"
_SIZE = "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relname ~ '^(job|tally)' AND relkind = 'r'"
_END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'boss'"


class Load:
    """Converters that submit a job, take one, send a heartbeat and finish it, as fast as they are allowed to."""

    def __init__(self, urls: list[str], ledger: Ledger) -> None:
        self._urls = urls
        self._ledger = ledger
        self._numbers = 0
        self._pace = 0.0
        self._next = 0.0
        self.over = False

    def keep_to(self, cycles: float) -> None:
        """Run this many cycles a second from now on; 0 for as many as possible."""
        self._pace, self._next = cycles, time.monotonic()

    async def convert(self, client: aiohttp.ClientSession) -> None:
        """Run one cycle after the other until the end."""
        while not self.over:
            await self._turn()
            id = f"{os.getpid()}-{self._numbers}"
            self._numbers += 1
            source = f"source-{self._numbers % SOURCES}"
            if await self._until_answered(client, "POST", f"/job/available/{source}/{id}?attempts=1000", DOCUMENT):
                self._ledger.submitted.add(id)
            # Convert twice because of jobs that were given back or left: otherwise more would be submitted than done.
            for _ in range(2):
                if not await self.convert_one(client):
                    break
            if self._numbers % 100 == 0:
                await self._ask(client, "GET", random.choice(["/job", "/jobs?limit=20", "/metrics", "/health"]))

    async def _turn(self) -> None:
        if self._pace:
            # After a long fault, do not catch up on the missed cycles.
            self._next = max(self._next + 1 / self._pace, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, self._next - time.monotonic()))

    async def convert_one(self, client: aiohttp.ClientSession) -> bool:
        """Take a job, send a heartbeat and usually finish it; return whether there was one."""
        started = time.monotonic()
        answer = await self._ask(client, "GET", f"/job/available?lease={LEASE}")
        if answer is None or answer[0] != 200:
            return False
        self._ledger.times.append(time.monotonic() - started)
        _, headers, text = answer
        id, source = text.split('"', 4)[3], text.split('"', 8)[7]
        attempt = headers["etag"]
        self._ledger.taken[id, attempt] += 1
        await self._ask(client, "HEAD", f"/job/active/{source}/{id}")
        chance = random.random()
        if chance < 0.02 and not self.over:
            return True  # the converter dies, and the lease expires
        if chance < 0.06 and not self.over:
            await self._ask(client, "DELETE", f"/job/active/{source}/{id}?delay=0")
            return True
        outcome = "?outcome=stopped" if chance < 0.07 else ""
        await self._finish(client, f"/job/done/{source}/{id}{outcome}", id, attempt)
        return True

    async def _finish(self, client: aiohttp.ClientSession, path: str, id: str, attempt: str) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            answer = await self._ask(client, "POST", path, if_match=attempt)
            if answer and answer[0] == 200:
                self._ledger.finished.add(id)
                return
            if answer and answer[0] in (404, 412):
                return
            self._ledger.unsure.add(id)
            await asyncio.sleep(0.1)

    async def _until_answered(self, client: aiohttp.ClientSession, method: str, path: str, body: str) -> bool:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            answer = await self._ask(client, method, path, body)
            if answer and answer[0] in (201, 409):
                return True
            await asyncio.sleep(0.1)
        return False

    async def _ask(
        self,
        client: aiohttp.ClientSession,
        method: str,
        path: str,
        body: str | None = None,
        if_match: str | None = None,
    ) -> tuple[int, dict[str, str], str] | None:
        headers = {"if-match": if_match} if if_match else {}
        self._ledger.requests += 1
        try:
            url = f"{random.choice(self._urls)}{path}"
            async with client.request(method, url, data=body, headers=headers) as answer:
                found = (
                    answer.status,
                    {name.lower(): value for name, value in answer.headers.items()},
                    await answer.text(),
                )
        except (aiohttp.ClientError, TimeoutError):
            self._ledger.unanswered += 1
            return None
        if found[0] >= 500:
            self._ledger.unanswered += 1
        return found

    async def wait_idly(self, client: aiohttp.ClientSession) -> None:
        """Wait like a taker that never gets a job."""
        while not self.over:
            answer = await self._ask(client, "GET", "/job/available/nothing?wait=20")
            if answer is None or answer[0] != 404:
                await asyncio.sleep(1)


class Replicas:
    """The three replicas. The first one is never killed, to see whether it grows."""

    def __init__(self, database: str) -> None:
        self._database = database
        self.ports = [free_port() for _ in range(3)]
        self.running = [self._start(port).wait_until_ready() for port in self.ports]

    def _start(self, port: int) -> BossProcess:
        return BossProcess("--database", self._database, "--keep-done", KEEP, "--quiet", port=port)

    @property
    def urls(self) -> list[str]:
        """The URLs of the replicas."""
        return [replica.url for replica in self.running]

    def replace(self, number: int, how: signal.Signals) -> None:
        """Stop or kill one replica and start it again, while the others serve."""
        self.running[number].process.send_signal(how)
        self.running[number].process.wait(60)
        self.running[number].close()
        self.running[number] = self._start(self.ports[number])

    def close(self) -> None:
        """Stop them all."""
        for replica in self.running:
            replica.close()


async def inject(
    replicas: Replicas, postgres: Postgres, folder: Path, load: Load, told: list[tuple[float, str]]
) -> None:
    """Inject a fault now and then, each kind in turn."""
    started = time.monotonic()

    async def freeze() -> None:
        server = psutil.Process(postmaster(folder))
        frozen = [server, *server.children()]
        for process in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        await asyncio.sleep(2)
        for process in frozen:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    async def end_sessions() -> None:
        await asyncio.to_thread(postgres.run, "coalesced", _END_SESSIONS)

    async def crash() -> None:
        # After the kill of one session, PostgreSQL ends all sessions and recovers.
        for process in psutil.Process(postmaster(folder)).children()[-1:]:
            process.kill()

    def ended(number: int, how: signal.Signals) -> Callable[[], Awaitable[None]]:
        return lambda: asyncio.to_thread(replicas.replace, number, how)

    faults: list[tuple[str, Callable[[], Awaitable[None]]]] = [
        ("replica killed", ended(1, signal.SIGKILL)),
        ("sessions ended", end_sessions),
        ("replica restarted", ended(2, signal.SIGTERM)),
        ("database frozen", freeze),
        ("replica killed", ended(2, signal.SIGKILL)),
        ("database crashed", crash),
    ]
    turn = 0
    while not load.over:
        await asyncio.sleep(FAULT)
        if load.over:
            return
        name, fault = faults[turn % len(faults)]
        turn += 1
        told.append((time.monotonic() - started, name))
        try:
            await fault()
        except (psutil.Error, asyncpg.PostgresError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)


async def observe(replicas: Replicas, postgres: Postgres, ledger: Ledger, samples: list[Sample], load: Load) -> None:
    """Take a sample every few seconds."""
    started = last = time.monotonic()
    steady = psutil.Process(replicas.running[0].process.pid)
    requests = ledger.requests
    while not load.over:
        await asyncio.sleep(SAMPLE)
        times, ledger.times = sorted(ledger.times), []
        try:
            connection = await asyncpg.connect(postgres.url("coalesced"), timeout=5)
            sessions, size = await connection.fetchval(_OWN_SESSIONS), await connection.fetchval(_SIZE)
            await connection.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            continue
        now = time.monotonic()
        samples.append(
            Sample(
                now - started,
                steady.memory_info().rss / 2**20,
                steady.num_fds(),
                sessions,
                size / 2**20,
                times[len(times) * 99 // 100] * 1000 if times else float("nan"),
                (ledger.requests - requests) / (now - last),
            )
        )
        last, requests = now, ledger.requests
        seen = samples[-1]
        print(
            f"{seen.second:5.0f} s  {seen.rate:6.0f} requests/s  p99 {seen.p99:6.1f} ms  {seen.memory:6.1f} MiB  "
            f"{seen.files} files  {seen.sessions} sessions  {seen.size:6.1f} MiB of tables",
            flush=True,
        )


async def soak(replicas: Replicas, postgres: Postgres, folder: Path, seconds: float) -> "Report":
    """Run the load from its peak to its end, with faults from the first minute on."""
    ledger = Ledger()
    samples: list[Sample] = []
    faults: list[tuple[float, str]] = []
    load = Load(replicas.urls, ledger)
    timeout = aiohttp.ClientTimeout(30)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as client:
        work = [asyncio.create_task(load.convert(client)) for _ in range(CONVERTERS)]
        work += [asyncio.create_task(load.wait_idly(client)) for _ in range(IDLE)]
        await asyncio.sleep(5)
        before = len(ledger.finished)
        await asyncio.sleep(PEAK_SECONDS)
        peak = (len(ledger.finished) - before) / PEAK_SECONDS
        pace = peak * SHARE
        load.keep_to(pace)
        print(f"peak {peak:,.0f} cycles a second; from now on {pace:,.0f}", flush=True)
        ledger.times.clear()
        around = [
            asyncio.create_task(observe(replicas, postgres, ledger, samples, load)),
            asyncio.create_task(inject(replicas, postgres, folder, load, faults)),
        ]
        await asyncio.sleep(seconds)
        load.over = True
        await asyncio.gather(*around)
        await asyncio.gather(*work)
        for replica in replicas.running:
            replica.wait_until_ready()
        await work_off(load, client, replicas.urls[0])
    return Report(peak, pace, samples, faults, ledger)


async def work_off(load: Load, client: aiohttp.ClientSession, url: str) -> None:
    """Convert all jobs that are left, and those that come back when their leases expire."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if await load.convert_one(client):
            continue
        async with client.get(f"{url}/job") as answer:
            tree = await answer.json() if answer.status == 200 else None
        if tree is not None and not sum(tree["available"].values()) + sum(tree["active"].values()):
            return
        await asyncio.sleep(0.2)
    raise SystemExit("jobs are left that nobody can take")


def main() -> None:
    """Run the soak and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="boss-soak-") as folder, postgres_running(Path(folder)) as postgres:
        replicas = Replicas(postgres.url("coalesced"))
        try:
            report = asyncio.run(soak(replicas, postgres, Path(folder), minutes * 60))
        finally:
            replicas.close()
    plot(report, RESULTS.with_name("soak.svg"))
    growth = report.growth()
    flat = all(growth[name][2] <= most for name, most in ALLOWED.items())
    ledger, faults = report.ledger, Counter(name for _, name in report.faults)
    write_section(
        "Soak",
        [
            f"`make soak`: three replicas, {CONVERTERS} converters and {IDLE} takers that only wait, for {minutes:g} "
            f"minutes at {report.pace:,.0f} jobs a second, {SHARE:.0%} of a peak of {report.peak:,.0f}; done jobs "
            f"kept for {float(KEEP) * 24 * 3600:.0f} s. Faults: "
            + ", ".join(f"{name} {times} times" for name, times in sorted(faults.items()))
            + f". {ledger.requests:,} requests, of which {ledger.unanswered:,} got no answer or a 5xx.",
            "",
            f"{len(ledger.submitted):,} jobs submitted, **{len(report.lost())} lost**; {len(ledger.taken):,} attempts "
            f"handed out, **{len(report.twice())} twice**. From the second minute on everything is "
            f"**{'flat' if flat else 'NOT flat'}**:",
            "",
            "| | first third | last third | ratio | allowed |",
            "| --- | --- | --- | --- | --- |",
            *(
                f"| {UNITS[name]} | {first:,.1f} | {last:,.1f} | {ratio:.2f} | {ALLOWED[name]:.2f} |"
                for name, (first, last, ratio) in growth.items()
            ),
            "",
            "![What grew, and when what died](soak.svg)",
        ],
    )
    if report.lost() or report.twice() or not flat:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
