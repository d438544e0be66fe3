"""The whole of what Boss answers: who may come in, every resource, and what is answered where there is none."""

from boss import metrics
from boss.dispatcher import Dispatcher
from boss.errors import BossError, Draining
from boss.http import admin, documentation, health, jobs, page, problems, session, sources, watch
from boss.http import metrics as metrics_page
from boss.http.guard import Guard
from boss.http.refusals import REFUSALS, Refusals
from boss.http.request import Request
from boss.http.response import Response
from boss.http.router import Router
from boss.job import State
from boss.settings import Settings
from boss.tokens import Tokens
from boss.watcher import Watcher


class App:
    """Answers requests over a dispatcher, a watcher for the page, and the tokens."""

    def __init__(self, dispatcher: Dispatcher, watcher: Watcher, tokens: Tokens, settings: Settings) -> None:
        self._guard = Guard(tokens, settings)
        self._refusals = Refusals()
        self._is_draining = False
        self._router = Router(
            [
                *jobs.resources(jobs.Jobs(dispatcher, settings)),
                *health.resources(dispatcher),
                *metrics_page.resources(dispatcher),
                *watch.resources(watcher, tokens),
                *sources.resources(dispatcher),
                *admin.resources(dispatcher, tokens),
                *session.resources(tokens, settings),
                *page.resources(),
                *documentation.resources(),
            ]
        )

    def drain(self) -> None:
        """From now on answer every new request with 503."""
        self._is_draining = True

    async def respond(self, request: Request) -> Response:
        """Answer one request; this never raises, but for the end of the task."""
        response = await self._admit(request)
        if response.status in REFUSALS:
            self._refusals.note(response.status, request.access.name, request.peer)
        return response

    async def _admit(self, request: Request) -> Response:
        path = request.path
        if self._is_draining and path != health.LIVE:
            return problems.to_response(Draining("the server is shutting down; send the request to another replica"))
        try:
            # Also for a path at which there is nothing, so that nobody learns which there are.
            self._guard.authenticate(request)
        except BossError as error:
            metrics.REFUSED.labels(error.name).inc()
            return problems.to_response(error)
        # Paths are matched as they were sent, and each part is decoded by itself: an encoded slash must not move a name
        # into the next part.
        found = self._router.find(path)
        if found is None:
            return _nothing_at(request)
        resource, request.params = found
        return await resource.respond(request)


def _nothing_at(request: Request) -> Response:
    if request.path == "*" and request.method == "OPTIONS":
        return Response(204, [(b"allow", b"DELETE, GET, HEAD, OPTIONS, POST, PUT")])
    return problems.no_resource(_way(request.path))


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
