"""The main job on real input: every language and subdivision record of ISO 639-3 and ISO 3166-2, one job each.

    .venv/bin/python examples/iso_codes.py [http://127.0.0.1:8080]

Submits the records that the package pycountry ships, converts them with a few parallel converters, and shows the
tree at the end. A subdivision's source is its country, a language's is its standard. Run it again and it goes on where
it was, for every job has an id of its own: what was submitted already is not submitted twice. Boss
may restart meanwhile: its client sends again what was not heard.
"""

import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import aiohttp
import pycountry
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from boss import AsyncClient, IdTaken, NoJob

SUBMITTERS = 16
CONVERTERS = 8


class Record(NamedTuple):
    """One document to convert."""

    source: str
    id: str
    document: dict[str, str]


def records() -> Iterator[Record]:
    """Every record, with a source and an id that are its own for ever."""
    for language in pycountry.languages:
        yield Record("iso639-3", f"iso639-3-{language.alpha_3}", dict(language))
    for subdivision in pycountry.subdivisions:
        fields = {name: value for name, value in dict(subdivision).items() if isinstance(value, str)}
        yield Record(subdivision.country_code, f"iso3166-2-{subdivision.code}", fields)


def convert(document: dict[str, str]) -> dict[str, str]:
    """What the converters do with a document: its name, fit for a file name."""
    return {"slug": "-".join(document["name"].casefold().replace("/", " ").replace(",", " ").split())}


async def submit(boss: AsyncClient, waiting: Iterator[Record], progress: Progress) -> int:
    """Submit records until there are none left; return how many of them were new."""
    new = 0
    for record in waiting:
        # Who is there already was submitted by an earlier run.
        with contextlib.suppress(IdTaken):
            await boss.submit(record.source, record.document, id=record.id)
            new += 1
        progress.advance(progress.task_ids[0])
    return new


async def run_converter(boss: AsyncClient, progress: Progress) -> Counter[str]:
    """The design's loop: take a job, do it, say it is done; return how often each id was handed out."""
    taken: Counter[str] = Counter()
    with contextlib.suppress(NoJob):
        while True:
            async with boss.take(wait=0) as job:
                taken[job.id] += 1
                job.result = convert(job.document)
            progress.advance(progress.task_ids[1])
    return taken


async def sources_of_others(boss: AsyncClient, ours: set[str]) -> list[str]:
    """The sources that have jobs to do, and not from this example: its converters take from any source."""
    tree = await boss.tree()
    return sorted(
        source for source, jobs in {**tree["active"], **tree["available"]}.items() if jobs and source not in ours
    )


async def main(url: str) -> None:
    """Submit and convert everything, then show the tree and the counts."""
    everything = list(records())
    console = Console()
    bar = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with AsyncClient(url) as boss, aiohttp.ClientSession(url) as http:
        if other := await sources_of_others(boss, {record.source for record in everything}):
            raise SystemExit(
                f"this Boss has jobs of somebody else's, of {', '.join(other)}: give the example one of its own"
            )
        with Progress(*bar, console=console) as progress:
            progress.add_task("submitting", total=len(everything))
            waiting = iter(everything)
            submitted = await asyncio.gather(*(submit(boss, waiting, progress) for _ in range(SUBMITTERS)))
            new = sum(submitted)
            progress.add_task("converting", total=new)
            takers = await asyncio.gather(*(run_converter(boss, progress) for _ in range(CONVERTERS)))
        taken = sum(takers, Counter[str]())
        async with http.get("/job", headers={"accept": "text/plain"}) as answer:
            show_ends(console, (await answer.text()).splitlines())
        tree = await boss.tree()
    counts = {state: sum(sources.values()) for state, sources in tree.items()}
    more_than_once = sum(times > 1 for times in taken.values())
    console.print(f"{json.dumps(counts)}: {new:,} submitted now, {len(taken):,} converted, {more_than_once} twice")
    if counts["available"] or counts["active"] or more_than_once:
        raise SystemExit("not every job is done, once")


def show_ends(console: Console, lines: list[str], each: int = 12) -> None:
    """Print a long tree's first and last lines."""
    shown = lines if len(lines) <= 2 * each else [*lines[:each], "⋮", *lines[-each:]]
    console.print("\n".join(shown), highlight=False)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["http://127.0.0.1:8080"]))
