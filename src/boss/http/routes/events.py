"""`/watch`: the dashboard's feed, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime

import orjson

from boss.dispatch.dashboard import DashboardFeed
from boss.dispatch.tokens import Tokens
from boss.http import overview_json
from boss.http.auth import requires
from boss.http.request import Request
from boss.http.resource import Resource
from boss.http.response import NO_STORE, Response
from boss.model.dashboard import View
from boss.model.job import State
from boss.model.permissions import Permission, Principal

_HEADERS = [(b"content-type", b"text/event-stream"), NO_STORE, (b"x-accel-buffering", b"no")]
# How often to send something on a silent connection, in seconds. It keeps the connection open, and shows when it is
# broken. It is an event, because a script in a browser hears of no comments.
_KEEPALIVE_S = 15.0
_ALIVE = b"event: alive\ndata: {}\n\n"
# The members that each event has: `now` and `away`.
_ALWAYS = 2


def resources(feed: DashboardFeed, tokens: Tokens) -> Sequence[Resource]:
    """The resource."""
    events = _Events()

    @requires(Permission.READ)
    async def watch(request: Request) -> Response:
        """GET /watch: an event with the changes whenever something has changed, until either side closes it."""
        request.query()
        return Response(200, _HEADERS, events=_stream(feed, events, tokens, request.principal))

    return [Resource("/watch", {"GET": watch})]


class _Events:
    """The events of the last view: 200 readers, who mostly have seen the same, are sent the same bytes."""

    def __init__(self) -> None:
        self._view: View | None = None
        # By the id() of the view that a reader has seen, and by the sources that they may see. That view is kept in the
        # value: otherwise Python could give its id() to a later view.
        self._encoded: dict[tuple[int, frozenset[str] | None], tuple[View | None, bytes]] = {}

    def encoded(self, view: View, seen: View | None, principal: Principal) -> bytes:
        """The event for somebody who has seen another view, or none; a sign of life when nothing of theirs is new."""
        if view is not self._view:
            self._view, self._encoded = view, {}
        key = id(seen), principal.sources
        if key not in self._encoded:
            before = seen and _of_theirs(seen, principal)
            news = _news(_of_theirs(view, principal), before, principal)
            is_new = len(news) > _ALWAYS or seen is None or view.away != seen.away
            event = b"data: %b\n\n" % orjson.dumps(news, option=orjson.OPT_UTC_Z) if is_new else _ALIVE
            self._encoded[key] = seen, event
        return self._encoded[key][1]


async def _stream(
    feed: DashboardFeed, events: _Events, tokens: Tokens, principal: Principal
) -> AsyncGenerator[bytes, None]:
    seen: View | None = None
    with feed:
        while True:
            try:
                view = await asyncio.wait_for(feed.next(seen), _KEEPALIVE_S)
            except TimeoutError:
                event = _ALIVE
            else:
                if view is None:
                    return
                event = events.encoded(view, seen, principal)
                seen = view
            if not tokens.is_valid(principal):
                return
            yield event


def _of_theirs(view: View, principal: Principal) -> View:
    """The part of a view that the principal may see: that of the sources their token is for."""
    if principal.sources is None:
        return view
    return view._replace(
        counts={(source, state): jobs for (source, state), jobs in view.counts.items() if principal.reaches(source)},
        failed=[job for job in view.failed if principal.reaches(job.source)],
        sources={source: each for source, each in view.sources.items() if principal.reaches(source)},
    )


def _news(view: View, seen: View | None, principal: Principal) -> dict[str, object]:
    """The part of a view that differs from the view sent before."""
    now = datetime.now(UTC)
    news: dict[str, object] = {"now": now, "away": view.away}
    before = seen.counts if seen else {}
    changed = {source for (source, state), jobs in view.counts.items() if before.get((source, state)) != jobs}
    if changed or seen is None:
        news["counts"] = {source: [view.counts.get((source, state), 0) for state in State] for source in changed}
    if seen is None or view.failed != seen.failed:
        news["failed"] = [job._asdict() for job in view.failed]
    return news | _overview(view, seen, principal, now)


def _overview(view: View, seen: View | None, principal: Principal, now: datetime) -> dict[str, object]:
    """The part of the overview that differs from the one sent before."""
    news: dict[str, object] = {}
    changed = overview_json.changed_sources(view, seen)
    if changed or seen is None:
        news["sources"] = changed
    total = overview_json.total_json(view, principal, now)
    if seen is None or total != overview_json.total_json(seen, principal, now):
        news["total"] = total
    doctor = overview_json.doctor_json(view, principal)
    if seen is None or doctor != overview_json.doctor_json(seen, principal):
        news["doctor"] = doctor
    return news
