"""Routing: authenticate a request, find its handler, and turn an error into a problem."""

import asyncio
from collections.abc import Iterable
from time import perf_counter

from boss.dispatch.converters import Converters
from boss.dispatch.dashboard import DashboardFeed
from boss.dispatch.dispatcher import Dispatcher
from boss.dispatch.ends import Ends
from boss.dispatch.moving import Moving
from boss.dispatch.queries import Queries
from boss.dispatch.schedules import Schedules
from boss.dispatch.tokens import Tokens
from boss.errors import DATABASE_AWAY, BossError, DatabaseAway, Draining, StateMismatch
from boss.http import auth, browser, dashboard, html, problems
from boss.http.refusals import REFUSALS, Refusals
from boss.http.request import Request
from boss.http.resource import Method, Resource
from boss.http.response import Response
from boss.http.routes import api_docs, events, health, history, jobs, lists, session, sources
from boss.http.routes import converters as converter_routes
from boss.http.routes import metrics as metrics_page
from boss.http.routes import schedules as schedule_routes
from boss.http.routes import tokens as token_routes
from boss.http.routes.moving import Moves
from boss.model.job import State
from boss.model.permissions import OPEN, Principal
from boss.settings import Settings
from boss.telemetry import metrics, tracing


class App:
    """Finds the handler of a request, and turns the exceptions that it raises into problems.

    Args:
        dispatcher: submits, takes, checks, finishes and gives back jobs.
        queries: everything that only reads.
        ends: waits for jobs to be done.
        converters: records which converters take jobs.
        feed: the dashboard's data.
        tokens: the valid tokens.
        schedules: what administrators may do with schedules.
        moving: what administrators may do with many jobs, and with done ones.
        settings: the server's settings.
        version: the version of Boss, for its documentation.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        queries: Queries,
        ends: Ends,
        converters: Converters,
        feed: DashboardFeed,
        tokens: Tokens,
        schedules: Schedules,
        moving: Moving,
        settings: Settings,
        version: str,
    ) -> None:
        self._authenticator = auth.Authenticator(tokens, settings)
        self._refusals = Refusals()
        self._is_draining = False
        self._exact: dict[str, Resource] = {}
        # The resource and the names of its path's variable parts, by the fixed start of the path and the number of
        # those parts.
        self._varying: dict[tuple[str, int], tuple[Resource, list[str]]] = {}
        # The resource and the name of its one variable part, by the fixed parts before it and after it.
        self._within: dict[tuple[str, str], tuple[Resource, str]] = {}
        self._add(
            [
                *jobs.resources(
                    jobs.Jobs(dispatcher, queries, converters, Moves(moving, settings.max_document), settings)
                ),
                *lists.resources(queries, ends, tokens),
                *health.resources(queries),
                *metrics_page.resources(queries),
                *events.resources(feed, tokens),
                *sources.resources(dispatcher, queries),
                *history.resources(queries),
                *converter_routes.resources(queries),
                *schedule_routes.resources(schedules, queries),
                *token_routes.resources(queries, tokens),
                *session.resources(tokens, settings),
                *dashboard.resources(),
                *api_docs.resources(version),
            ]
        )

    def _add(self, resources: Iterable[Resource]) -> None:
        for resource in resources:
            fixed, *names = resource.path.split("/{")
            if names and not names[-1].endswith("}"):
                name, last = names[0].split("}/")
                self._within[fixed, last] = resource, name
            elif names:
                self._varying[fixed, len(names)] = resource, [name.rstrip("}") for name in names]
            else:
                self._exact[fixed] = resource

    def drain(self) -> None:
        """Answer every new request with 503 from now on."""
        self._is_draining = True

    async def respond(self, request: Request) -> Response:
        """Answer one request. Raises nothing but CancelledError, when the client of a take has hung up."""
        if self._is_draining and request.path != health.LIVE:
            return problems.to_response(Draining("the server is shutting down; send the request to another replica"))
        try:
            # Paths without a resource are authenticated too, so that a refusal does not tell which paths exist.
            self._authenticator.authenticate(request)
        except BossError as error:
            if browser.is_in_window(request) and self._find(request) is None:
                return html.for_person(request, _nothing_at(request))
            metrics.REFUSED.labels(error.name).inc()
            return self._refused(request, html.for_person(request, problems.to_response(error)))
        resource = self._find(request)
        if resource is None:
            return html.for_person(request, _nothing_at(request))
        if tracing.tracer is None:
            response = await self._respond(request, resource)
        else:
            response = await self._respond_in_span(request, resource)
        return self._refused(request, response) if response.status in REFUSALS else response

    def _refused(self, request: Request, response: Response) -> Response:
        self._refusals.note(response.status, request.principal.name, request.peer)
        return response

    def _find(self, request: Request) -> Resource | None:
        """The resource at the request's path; sets `request.params` to the variable parts of the path.

        Paths are matched as they were sent, and each part is decoded by itself, because an encoded slash must not
        divide a part in two.
        """
        if resource := self._exact.get(request.path):
            return resource
        before, _, last = request.path.rpartition("/")
        if not last:
            return None
        if varying := self._varying.get((before, 1)):
            request.params = {varying[1][0]: last}
            return varying[0]
        before, _, first = before.rpartition("/")
        if first and (varying := self._varying.get((before, 2))):
            request.params = {varying[1][0]: first, varying[1][1]: last}
            return varying[0]
        if first and (within := self._within.get((before, last))):
            request.params = {within[1]: first}
            return within[0]
        return None

    async def _respond_in_span(self, request: Request, resource: Resource) -> Response:
        method = request.method if request.method in resource.methods else "other"
        came_with = request.header(b"traceparent")
        with tracing.request_span(f"{method} {resource.path}", method, resource.path, came_with) as span:
            response = await self._respond(request, resource)
            span.set_attribute("http.response.status_code", response.status)
            return response

    async def _respond(self, request: Request, resource: Resource) -> Response:
        started = perf_counter()
        method = resource.methods.get(request.method)
        if method is None:
            response = problems.wrong_method(request.method, resource.allow)
        else:
            response = await self._handle(request, resource, method)
        times = resource.times.get((request.method, response.status))
        if times is None:
            times = resource.new_times(request.method, response.status)
        times.observe(perf_counter() - started)
        return response

    async def _handle(self, request: Request, resource: Resource, method: Method) -> Response:
        """Authorize the request and call its handler; every exception that they raise becomes a problem."""
        request.ends_with_client = method.ends_with_client
        try:
            if request.principal is not OPEN:
                auth.authorize(request, method.permission)
            return await method.handler(request)
        except BossError as error:
            return problems.to_response(_seen(error, request.principal))
        except asyncio.CancelledError:
            if not request.late_cancels:
                raise  # the client has gone
            _uncancel(request.late_cancels)
            return problems.to_response(DatabaseAway(DATABASE_AWAY))
        except Exception:
            return problems.unforeseen(request.method, resource.path)


def _uncancel(times: int) -> None:
    task = asyncio.current_task()
    assert task
    for _again in range(times):
        task.uncancel()


def _seen(error: BossError, principal: Principal) -> BossError:
    """The error as this principal may see it: it tells nothing about a job whose source they do not reach."""
    if not isinstance(error, StateMismatch) or error.source is None or principal.reaches(error.source):
        return error
    return type(error)(error.unseen, None)


def _nothing_at(request: Request) -> Response:
    if request.path == "*" and request.method == "OPTIONS":
        return Response(204, [(b"allow", b"DELETE, GET, HEAD, OPTIONS, POST, PUT")])
    return problems.no_resource(_way(request.path))


def _way(path: str) -> str:
    """A hint for a client that asked for this path, at which there is no resource."""
    parts = path.split("/")[1:] or [""]
    states = ", ".join(State)
    if parts[0] == "job" and len(parts) > 1 and parts[1] not in list(State):
        return f"there is no state {parts[1]!a}; the states are {states}"
    if parts[0] == "job" and "" in parts:
        return "a part of the path is empty; jobs are at /job/{state}/{source}/{id}"
    if parts[0] == "job" and len(parts) < 4:
        return f"to list jobs, GET /jobs?state={parts[1]}"
    return "jobs are at /job/{state}/{source}/{id}, lists of them at /jobs, the documentation is at /docs"
