"""The resource tree as one Starlette route."""

from collections.abc import Mapping

from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from boss.http.exchange import Resource

_PARTS = ("source", "id")


class TreeRoute(BaseRoute):
    """Finds the resource at `/job/{state}`, `/job/{state}/{source}` or `/job/{state}/{source}/{id}`.

    An address is split at its slashes. Starlette would try the pattern of one route after the other, which took a third
    of the time that a take spends in Python.

    Args:
        resources: the resource at each path, written as above with the state's name.
    """

    def __init__(self, resources: Mapping[str, Resource]) -> None:
        self._resources = {self._key(path.split("/")): resource for path, resource in resources.items()}

    @staticmethod
    def _key(parts: list[str]) -> tuple[str, str, int]:
        """What tells the resources apart: the first two parts of the path, and how many there are."""
        return parts[1], parts[2], len(parts)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether there is such a resource; no part may be empty."""
        parts = scope["path"].split("/")
        resource = self._resources.get(self._key(parts)) if len(parts) > 2 and "" not in parts[3:] else None
        if resource is None:
            return Match.NONE, {}
        return Match.FULL, {"endpoint": resource, "path_params": dict(zip(_PARTS, parts[3:], strict=False))}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that matched."""
        await scope["endpoint"](scope, receive, send)
