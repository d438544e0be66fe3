"""Find jobs by their time, so that a page takes a bounded time however many jobs are done."""

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from boss.errors import BadInput
from boss.model.finding import FoundJob, JobFilter, Place, time_of
from boss.model.job import JobRecord, State
from boss.postgres import store
from boss.postgres.connection import Pool

# Up to so many jobs of the sources and states in question are read and sorted: that takes about 30 ms. When words are
# looked for, up to fewer: each may have 16 KiB to be searched.
_MOST_SORTED, _MOST_SEARCHED = 10_000, 2000
# How long one page walks through done jobs; the last statement may run past this.
_LONGEST_WALK_S = 0.03
# How many done jobs a statement walks through: at first, when it looks for words, and at most. After a quick one the
# next is twice as long.
_FIRST_WALK, _FIRST_SEARCH, _LONGEST_WALK = 1000, 200, 4000
_QUICK_S = 0.005


class Found(NamedTuple):
    """Some jobs that match a filter, the newest first, and the place where the list goes on; None at its end."""

    jobs: list[FoundJob]
    next: Place | None


class FoundPage(NamedTuple):
    """A page of jobs that match a filter, and the place where the next one begins; None for the last one."""

    jobs: list[JobRecord]
    next: Place | None


async def find_page(pool: Pool, wanted: JobFilter, after: Place | None, limit: int) -> FoundPage:
    """A page of jobs with all their properties, the newest first.

    There may be fewer than `limit`, or none, before the end of the list: when it took long to find them, or when their
    documents are large.

    Raises:
        BadInput: too many jobs are open, and would have to be sorted.
    """
    found = await find(pool, wanted, after, limit)
    page = await store.records(pool, [job.id for job in found.jobs])
    at = {job.id: job.at for job in found.jobs}
    # What has moved since then is somewhere else in the list.
    jobs = [job for job in page.jobs if at[job.id] == time_of(job)]
    last = page.jobs[-1] if page.more else None
    return FoundPage(jobs, Place(time_of(last), last.id) if last else found.next)


async def find(pool: Pool, wanted: JobFilter, after: Place | None, limit: int) -> Found:
    """At most `limit` jobs, the newest first; see `find_page`."""
    counts = _counts(wanted, await store.count(pool))
    still_open = {shelf: jobs for shelf, jobs in counts.items() if shelf[1] is not State.DONE}
    if sum(still_open.values()) > _MOST_SORTED:
        states = " or ".join(sorted({state for _, state in still_open}))
        raise BadInput(
            f"more than {_MOST_SORTED:,} jobs are {states}, too many to sort them by time: "
            "add state=done, or another source, or list them by id, without since and until"
        )
    is_walk = sum(counts.values()) > (_MOST_SORTED if wanted.reason is None else _MOST_SEARCHED)
    few = await store.sort_few(pool, wanted, after, limit + 1, list(still_open if is_walk else counts))
    walked, end = await _walk(pool, wanted, after, limit) if is_walk else ([], None)
    jobs = sorted([*few, *walked], key=FoundJob.place, reverse=True)
    if end:
        # What comes later in the list may come after jobs that were not looked at.
        jobs = [job for job in jobs if job.place() >= end]
    if len(jobs) > limit:
        return Found(jobs[:limit], jobs[limit - 1].place())
    return Found(jobs, end)


def _counts(wanted: JobFilter, counts: Mapping[tuple[str, State], int]) -> dict[tuple[str, State], int]:
    """The numbers of the jobs among which those of a filter are, by source and state."""
    return {
        (source, state): jobs
        for (source, state), jobs in counts.items()
        if jobs > 0 and wanted.state in (None, state) and (wanted.sources is None or source in wanted.sources)
    }


async def _walk(
    pool: Pool, wanted: JobFilter, after: Place | None, limit: int
) -> tuple[Iterable[FoundJob], Place | None]:
    """Walk through the done jobs until more than `limit` are found, or for a bounded time."""
    found: list[FoundJob] = []
    rows = _FIRST_WALK if wanted.reason is None else _FIRST_SEARCH
    start, end = time.monotonic(), after
    while True:
        begun = time.monotonic()
        walk = await store.walk_done(pool, wanted, end, rows)
        found += walk.found
        end = walk.end
        now = time.monotonic()
        if end is None or len(found) > limit or now - start > _LONGEST_WALK_S:
            return found, end
        if now - begun < _QUICK_S:
            rows = min(2 * rows, _LONGEST_WALK)
