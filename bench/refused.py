"""What a client costs the others when its requests are refused.

Usage: python -m bench.refused [--rounds N]

64 connections submit jobs: alone, and beside a client that sends three documents a second that are refused, either by
Boss, or by PostgreSQL in a statement together with the documents of others. Rounds are interleaved.
"""

import argparse
import contextlib
import http.client
import statistics
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.servers import BossProcess, boss_running

from bench.machine import ratio, write_section
from bench.postgres import Postgres, postgres_running
from bench.wrk import wrk

CONNECTIONS = 64
SECONDS = 5.0
INTERVAL = 1 / 3
ALONE, BY_BOSS, BY_POSTGRESQL = "alone", "beside refused ones", "beside ones that PostgreSQL refuses"
_BODIES = {BY_BOSS: '{"a": 1e200000}', BY_POSTGRESQL: '{"refuse": true}'}
# Boss lets nothing through any more that PostgreSQL refuses, so PostgreSQL is told to refuse something.
_REFUSE = """
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE data_exception USING MESSAGE = 'refused'; END $$;
CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON job
FOR EACH ROW WHEN (NEW.document ? 'refuse') EXECUTE FUNCTION refuse();
"""


@contextlib.contextmanager
def sending(boss: BossProcess, body: str | None) -> Iterator[None]:
    """Send this body three times a second; nothing when None."""
    over = threading.Event()

    def send() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", boss.port)
        while body and not over.wait(INTERVAL):
            connection.request("POST", "/job/available/bench", body)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 400

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def measure(postgres: Postgres, boss: BossProcess, kind: str) -> float:
    """The rate of submits a second."""
    postgres.empty()
    with sending(boss, _BODIES.get(kind)):
        return wrk(boss.url, "submit.lua", "1")(CONNECTIONS, SECONDS)


def main() -> None:
    """Run the rounds and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    rates: dict[str, list[float]] = {kind: [] for kind in (ALONE, BY_BOSS, BY_POSTGRESQL)}
    with tempfile.TemporaryDirectory(prefix="boss-bench-") as folder, postgres_running(Path(folder)) as postgres:
        database = postgres.url("coalesced")
        with boss_running("--database", database, "--quiet") as boss:
            postgres.run("coalesced", _REFUSE)
            measure(postgres, boss, ALONE)
            for _ in range(rounds):
                for kind, found in rates.items():
                    found.append(measure(postgres, boss, kind))
    rows = [
        f"| {kind} | {statistics.median(found):,.0f} | {ratio(found, rates[ALONE])} |" for kind, found in rates.items()
    ]
    about = f"{rounds} rounds of {SECONDS:g} s, {CONNECTIONS} connections; three refused documents a second."
    table = ["| submits | a second | of alone | spread |", "| --- | ---: | ---: | --- |", *rows]
    write_section("Beside a client that is refused", [about, "", *table])


if __name__ == "__main__":
    main()
