"""Finding what is at an address of the resource tree."""

from collections.abc import Iterable

from boss.http.exchange import Resource

_PARTS = ("source", "id")


class Tree:
    """The resources at `/job/{state}`, `/job/{state}/{source}` and `/job/{state}/{source}/{id}`.

    An address is split at its slashes and looked up. Starlette's router would try the pattern of one route after the
    other, which took a third of the time that a take spends in Python; it keeps all the other routes.

    Args:
        resources: those whose paths are as above, with the state's name.
    """

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._resources = {
            (resource.path.split("/", 3)[2], resource.path.count("/")): resource for resource in resources
        }

    def find(self, path: str) -> tuple[Resource, dict[str, str]] | None:
        """The resource at this path, and the parts of the path by name; None when there is none."""
        if not path.startswith("/job/"):
            return None
        _, _, state, *names = path.split("/")
        resource = self._resources.get((state, len(names) + 2))
        if resource is None or "" in names:
            return None
        return resource, dict(zip(_PARTS, names, strict=False))
