"""`/watch`: what is going on, as server-sent events, for the page.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import orjson
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from boss.access import Access, Right
from boss.errors import BossError
from boss.http import guard, problems
from boss.http.exchange import NO_STORE, Ask, write
from boss.job import State
from boss.store import Hour
from boss.tokens import Tokens
from boss.watcher import View, Watcher

_HEADERS = [(b"content-type", b"text/event-stream"), NO_STORE, (b"x-accel-buffering", b"no")]
# A silent connection is kept open by a comment now and then, in seconds, and found to be broken by it.
_BEAT = 15.0
_MINUTES = 60


def routes(watcher: Watcher, tokens: Tokens) -> Sequence[BaseRoute]:
    """The route."""
    return [Route("/watch", _Stream(watcher, tokens))]


class _Stream:
    """GET /watch: an event whenever something has changed, with what has, until the client or the server ends it."""

    def __init__(self, watcher: Watcher, tokens: Tokens) -> None:
        self._watcher = watcher
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request for as long as it lasts."""
        if scope["method"] not in ("GET", "HEAD"):
            await write(problems.wrong_method(scope["method"], "GET, HEAD"), scope, send)
            return
        try:
            guard.check(scope, Right.READ)
            ask = Ask(scope, receive)
            ask.query()
        except BossError as error:
            await write(problems.of(error), scope, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        if scope["method"] == "GET":
            telling = asyncio.create_task(self._tell(ask.access, send))
            gone = asyncio.create_task(_until_gone(receive))
            await asyncio.wait({telling, gone}, return_when=asyncio.FIRST_COMPLETED)
            telling.cancel()
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await telling
        await send({"type": "http.response.body", "body": b""})

    async def _tell(self, access: Access, send: Send) -> None:
        news: View | None = None
        seen: View | None = None
        with self._watcher as watcher:
            while True:
                try:
                    news = await asyncio.wait_for(watcher.next(news), _BEAT)
                except TimeoutError:
                    body = b":\n\n"
                else:
                    if news is None:
                        return
                    view = _of_theirs(news, access)
                    body = b"data: " + orjson.dumps(_news(view, seen), option=orjson.OPT_UTC_Z) + b"\n\n"
                    seen = view
                if not self._tokens.count(access):
                    return
                await send({"type": "http.response.body", "body": body, "more_body": True})


def _of_theirs(view: View, access: Access) -> View:
    """What is in a view of the sources that somebody's rights are good for."""
    if access.sources is None:
        return view
    return view._replace(
        counts={shelf: jobs for shelf, jobs in view.counts.items() if access.reaches(shelf[0])},
        active=[job for job in view.active if access.reaches(job.source)],
        failed=[job for job in view.failed if access.reaches(job.source)],
        hour=[hour for hour in view.hour if access.reaches(hour.source)],
    )


async def _until_gone(receive: Receive) -> None:
    """Return when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass  # a body, empty or not


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
