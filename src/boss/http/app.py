"""The ASGI application: every route, the gate that drains, and what is answered where there is no route."""

import asyncio
from collections.abc import Callable, Sequence

from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from boss import metrics
from boss.access import Access
from boss.dispatcher import Dispatcher
from boss.errors import BossError, Draining
from boss.http import admin, documentation, health, jobs, page, problems, session, sources, watch
from boss.http import metrics as metrics_page
from boss.http.deadlines import Deadlines
from boss.http.exchange import write
from boss.http.guard import Guard
from boss.http.route import Tree
from boss.job import State
from boss.settings import Settings
from boss.tokens import Tokens
from boss.watcher import Watcher


def create(dispatcher: Dispatcher, watcher: Watcher, tokens: Tokens, settings: Settings) -> "Gate":
    """The whole application over a dispatcher, a watcher for the page, and the tokens."""
    handlers = jobs.Jobs(dispatcher, settings)
    routes: Sequence[BaseRoute] = [
        *jobs.routes(handlers),
        *health.routes(dispatcher),
        *metrics_page.routes(dispatcher),
        *watch.routes(watcher, tokens),
        *sources.routes(dispatcher),
        *admin.routes(dispatcher, tokens),
        *session.routes(tokens, settings),
        *page.routes(),
        *documentation.routes(),
    ]
    elsewhere = Router(routes, redirect_slashes=False, default=_nothing_here)
    return Gate(Tree(jobs.resources(handlers)), elsewhere, Guard(tokens, settings), tokens.count, settings.body_timeout)


class Gate:
    """Lets in who may come in, and counts the requests under way; once it drains it lets no new one in.

    Args:
        tree: what is below /job.
        elsewhere: what is at all other paths.
        guard: who says who they are.
        count: whether what somebody was let in with still counts.
        body_timeout: how long a body may take to come, in seconds.

    Attributes:
        empty: set while no request is under way.
    """

    def __init__(
        self, tree: Tree, elsewhere: ASGIApp, guard: Guard, count: Callable[[Access], bool], body_timeout: float
    ) -> None:
        self._guard = guard
        self._count = count
        self._deadlines = Deadlines()
        self._body_timeout = body_timeout
        self._tree = tree
        self._elsewhere = elsewhere
        self._draining = False
        self._under_way = 0
        self.empty = asyncio.Event()
        self.empty.set()

    def drain(self) -> None:
        """From now on answer every new request with 503."""
        self._draining = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through."""
        # Routes are matched on the path as it was sent, and each part is decoded by itself (Ask.part): an encoded
        # slash must not move a name into the next part.
        path = scope["path"] = scope["raw_path"].decode("latin-1")
        if not path.startswith("/"):  # OPTIONS * or CONNECT
            await _nothing_here(scope, receive, send)
            return
        if self._draining and path != health.LIVE:
            refusal = problems.of(Draining("the server is shutting down; send the request to another replica"))
            await write(refusal, scope, send)
            return
        try:
            scope["access"] = self._guard.admit(scope)
        except BossError as error:
            metrics.REFUSED.labels(error.name).inc()
            await write(problems.of(error), scope, send)
            return
        scope["count"] = self._count
        scope["deadlines"], scope["body_timeout"] = self._deadlines, self._body_timeout
        self._under_way += 1
        self.empty.clear()
        try:
            if found := self._tree.find(path):
                resource, scope["path_params"] = found
                await resource(scope, receive, send)
            else:
                await self._elsewhere(scope, receive, send)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self.empty.set()


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    await write(problems.no_resource(_way(scope["path"])), scope, send)


def _way(path: str) -> str:
    """What somebody who asked for this path may have meant."""
    parts = path.split("/")[1:] or [""]
    states = ", ".join(State)
    if parts[0] == "job" and len(parts) > 1 and parts[1] not in list(State):
        return f"there is no state {parts[1]!a}; the states are {states}"
    if parts[0] == "job" and "" in parts:
        return "a part of the path is empty; jobs are at /job/{state}/{source}/{id}"
    if parts[0] == "job" and len(parts) < 4:
        return f"to list jobs, GET /jobs?state={parts[1]}"
    return "jobs are at /job/{state}/{source}/{id}, lists of them at /jobs, the documentation is at /docs"
