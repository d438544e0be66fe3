"""`/watch`: what is going on, as server-sent events, for the page.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime

import orjson

from boss.dispatch.dashboard import DashboardFeed, View
from boss.dispatch.tokens import Tokens
from boss.http.auth import requires
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import NO_STORE, Response
from boss.model.job import State
from boss.model.permissions import Permission, Principal
from boss.postgres.store import Hour

_HEADERS = [(b"content-type", b"text/event-stream"), NO_STORE, (b"x-accel-buffering", b"no")]
# A silent connection is kept open by a comment now and then, in seconds, and found to be broken by it.
_BEAT = 15.0
_MINUTES = 60


def resources(watcher: DashboardFeed, tokens: Tokens) -> Sequence[Resource]:
    """The resource."""

    @requires(Permission.READ)
    async def watch(request: Request) -> Response:
        """GET /watch: an event whenever something has changed, with what has, until either side ends it."""
        request.query()
        return Response(200, _HEADERS, events=_events(watcher, tokens, request.principal))

    return [Resource("/watch", {"GET": watch})]


async def _events(watcher: DashboardFeed, tokens: Tokens, principal: Principal) -> AsyncGenerator[bytes, None]:
    news: View | None = None
    seen: View | None = None
    with watcher:
        while True:
            try:
                news = await asyncio.wait_for(watcher.next(news), _BEAT)
            except TimeoutError:
                event = b":\n\n"
            else:
                if news is None:
                    return
                view = _of_theirs(news, principal)
                event = b"data: " + orjson.dumps(_news(view, seen), option=orjson.OPT_UTC_Z) + b"\n\n"
                seen = view
            if not tokens.is_valid(principal):
                return
            yield event


def _of_theirs(view: View, principal: Principal) -> View:
    """What is in a view of the sources that somebody's rights are good for."""
    if principal.sources is None:
        return view
    return view._replace(
        counts={shelf: jobs for shelf, jobs in view.counts.items() if principal.reaches(shelf[0])},
        active=[job for job in view.active if principal.reaches(job.source)],
        failed=[job for job in view.failed if principal.reaches(job.source)],
        hour=[hour for hour in view.hour if principal.reaches(hour.source)],
    )


def _news(view: View, seen: View | None) -> dict[str, object]:
    """What is in a view that was not in the one seen before."""
    now = datetime.now(UTC)
    news: dict[str, object] = {"now": now, "away": view.away}
    before = seen.counts if seen else {}
    changed = {source for (source, state), jobs in view.counts.items() if before.get((source, state)) != jobs}
    if changed or seen is None:
        news["counts"] = {source: [view.counts.get((source, state), 0) for state in State] for source in changed}
    if seen is None or view.active != seen.active:
        news["active"] = [job._asdict() for job in view.active]
    if seen is None or view.failed != seen.failed:
        news["failed"] = [job._asdict() for job in view.failed]
    if seen is None or view.hour != seen.hour:
        news["hour"] = {hour.source: _line(hour, now) for hour in view.hour}
    return news


def _line(hour: Hour, now: datetime) -> dict[str, list[float | None]]:
    """The last hour by minutes, the last one that is over at the end: jobs done, and seconds waited on average."""
    finished: list[float | None] = [0] * _MINUTES
    waited: list[float | None] = [None] * _MINUTES
    this_minute = now.replace(second=0, microsecond=0)
    for minute, jobs, seconds in zip(hour.minutes, hour.finished, hour.waited, strict=True):
        place = _MINUTES - int((this_minute - minute).total_seconds() // 60)
        if 0 <= place < _MINUTES:
            finished[place] = jobs
            waited[place] = None if seconds is None else round(seconds, 2)
    return {"finished": finished, "waited": waited}
