"""What is at a path: the handler of each method, `async (Request) -> Response`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter

from prometheus_client import Histogram

from boss import metrics, tracing
from boss.access import Access
from boss.errors import DATABASE_AWAY, BossError, DatabaseAway, ElseThan
from boss.http import guard, problems
from boss.http.request import Request
from boss.http.response import Response

Handler = Callable[[Request], Awaitable[Response]]


class Resource:
    """The handlers at one path, by method.

    HEAD is answered by its own handler, or else by GET's without the body.

    Args:
        path: where it is, with the names of parts that vary: what its times are kept under.
        handlers: the handler for each method.
        taking: the method that takes jobs, if one does: its handler is cancelled when the client hangs up, so that
            nothing is taken for nobody.
    """

    def __init__(self, path: str, handlers: Mapping[str, Handler], taking: str | None = None) -> None:
        self.path = path
        self._times: dict[tuple[str, int], Histogram] = {}
        self._handlers = dict(handlers)
        self._taking = taking
        if "GET" in handlers:
            self._handlers.setdefault("HEAD", handlers["GET"])
        self._rights = {method: guard.right_of(handler) for method, handler in self._handlers.items()}
        self._allow = ", ".join(sorted(self._handlers))

    async def respond(self, request: Request) -> Response:
        """Answer one request; whatever a handler raises becomes a problem."""
        if tracing.tracer is None:
            return await self._respond(request)
        method = request.method if request.method in self._handlers else "other"
        came_with = request.header(b"traceparent")
        with tracing.request_span(f"{method} {self.path}", method, self.path, came_with) as span:
            response = await self._respond(request)
            span.set_attribute("http.response.status_code", response.status)
            return response

    async def _respond(self, request: Request) -> Response:
        started = perf_counter()
        method = request.method
        handler = self._handlers.get(method)
        if handler is None:
            response = problems.wrong_method(method, self._allow)
        else:
            request.ends_with_client = method == self._taking
            response = await self._handle(handler, request)
        times = self._times.get((method, response.status)) or self._new_times(method, response.status)
        times.observe(perf_counter() - started)
        return response

    async def _handle(self, handler: Handler, request: Request) -> Response:
        try:
            guard.authorize(request, self._rights[request.method])
            return await handler(request)
        except BossError as error:
            return problems.to_response(_seen(error, request.access))
        except asyncio.CancelledError:
            if not request.late_cancels:
                raise  # the client has gone
            _uncancel(request.late_cancels)
            return problems.to_response(DatabaseAway(DATABASE_AWAY))
        except Exception:
            return problems.unforeseen(request.method, self.path)

    def _new_times(self, method: str, status: int) -> Histogram:
        # Whatever a client thinks up as a method must not become a label.
        known = method if method in self._handlers else "other"
        times = self._times[known, status] = metrics.REQUESTS.labels(known, self.path, status)
        return times


def _uncancel(times: int) -> None:
    task = asyncio.current_task()
    assert task
    for _again in range(times):
        task.uncancel()


def _seen(error: BossError, access: Access) -> BossError:
    """The same error, without a word about a job of a source that is not theirs to see."""
    if not isinstance(error, ElseThan) or error.source is None or access.reaches(error.source):
        return error
    return type(error)(error.unseen, None)
