"""What is at a path: the handler of each method, `async (Request) -> Response`, and how long they take."""

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
    """What answers one method at one path.

    Attributes:
        handler: answers it.
        permission: what its requests need.
        takes: whether it takes jobs: then it is cancelled when the client hangs up, so that none is taken for nobody.
    """

    handler: Handler
    permission: Permission
    takes: bool


class Resource:
    """The handlers at one path.

    HEAD is answered by its own handler, or else by GET's without the body.

    Args:
        path: where it is, with the names of parts that vary: what its times are kept under.
        handlers: the handler for each method.
        taking: the method that takes jobs, if one does.

    Attributes:
        methods: what answers each method.
        allow: their names, for the header Allow.
        times: how long requests took, by method and status.
    """

    def __init__(self, path: str, handlers: Mapping[str, Handler], taking: str | None = None) -> None:
        self.path = path
        handlers = {"HEAD": handlers["GET"], **handlers} if "GET" in handlers else handlers
        self.methods = {
            method: Method(handler, auth.permission_of(handler), method == taking)
            for method, handler in handlers.items()
        }
        self.allow = ", ".join(sorted(self.methods))
        self.times: dict[tuple[str, int], Histogram] = {}

    def new_times(self, method: str, status: int) -> Histogram:
        """Where the times of requests of this method with this status are kept from now on."""
        # Whatever a client thinks up as a method must not become a label.
        known = method if method in self.methods else "other"
        times = self.times[known, status] = metrics.REQUESTS.labels(known, self.path, status)
        return times
