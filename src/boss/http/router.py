"""Finding the resource at a path."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from boss.http.resource import Resource

_Found: TypeAlias = tuple[Resource, Mapping[str, str]]


class Router:
    """Finds resources by their paths, such as `/job/{state}/{source}`.

    A path is split at its slashes and looked up, with the number of its parts, by the parts before the first that
    varies. Parts that vary come last, and none of them is empty.

    Args:
        resources: all there are.
    """

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._exact: dict[str, _Found] = {}
        # By the part before the first that varies, and how many vary.
        self._varying: dict[tuple[str, int], tuple[Resource, list[str]]] = {}
        for resource in resources:
            fixed, *names = resource.path.split("/{")
            if names:
                self._varying[fixed, len(names)] = resource, [name.rstrip("}") for name in names]
            else:
                self._exact[fixed] = resource, {}

    def find(self, path: str) -> _Found | None:
        """The resource at this path, and the parts that vary by name, as they were sent; None when there is none."""
        if found := self._exact.get(path):
            return found
        fixed, values = path, []
        for count in range(1, _MOST_VARYING + 1):
            fixed, slash, value = fixed.rpartition("/")
            if not slash or not value:
                return None
            values.append(value)
            if varying := self._varying.get((fixed, count)):
                resource, names = varying
                return resource, dict(zip(names, reversed(values), strict=True))
        return None


# /job/{state}/{source}/{id}: the states are resources of their own.
_MOST_VARYING = 2
