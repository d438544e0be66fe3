"""A resource: the handlers of the methods at one path, `async (Request) -> Response`, and their durations."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from prometheus_client import Histogram

from boss.http import auth
from boss.http.request import Request
from boss.http.response import Response
from boss.model.permissions import Permission
from boss.telemetry import metrics

Handler = Callable[[Request], Awaitable[Response]]


class Method(NamedTuple):
    """One method at one path.

    Attributes:
        handler: answers its requests.
        permission: the permission that its requests require.
        ends_with_client: whether it is cancelled when the client hangs up: it takes jobs, or waits for one.
    """

    handler: Handler
    permission: Permission
    ends_with_client: bool


class Resource:
    """The handlers at one path.

    HEAD is answered by its own handler, or else by GET's without the body.

    Args:
        path: its path, with the names of the parts that vary, such as `/jobs/{id}`. It is the route in the metrics.
        handlers: the handler of each method.
        waiting: the method that takes jobs or waits for one, if there is one.

    Attributes:
        methods: the methods by name.
        allow: the names of the methods, for the header Allow.
        times: the durations of requests, by method and status.
    """

    def __init__(self, path: str, handlers: Mapping[str, Handler], waiting: str | None = None) -> None:
        self.path = path
        handlers = {"HEAD": handlers["GET"], **handlers} if "GET" in handlers else handlers
        self.methods = {
            method: Method(handler, auth.permission_of(handler), method == waiting)
            for method, handler in handlers.items()
        }
        self.allow = ", ".join(sorted(self.methods))
        self.times: dict[tuple[str, int], Histogram] = {}

    def new_times(self, method: str, status: int) -> Histogram:
        """Create the histogram for the durations of requests with this method and status."""
        # A method that a client made up must not become a label.
        known = method if method in self.methods else "other"
        times = self.times[known, status] = metrics.REQUESTS.labels(known, self.path, status)
        return times
