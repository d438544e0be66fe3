"""A line in the log for who was refused (401, 403, 429): which token it was, if that is known, and from where."""

import logging
import time
from typing import NamedTuple

log = logging.getLogger("boss")

REFUSALS = frozenset([401, 403, 429])
# Each kind and address has one line in so many seconds, and no more than so many of both have one at all: whoever is
# refused must fill neither a disk nor our memory.
_INTERVAL = 1.0
_MOST = 1000


class _Kind(NamedTuple):
    status: int
    address: str


class Refusals:
    """Logs who was refused."""

    def __init__(self) -> None:
        # When each was logged, oldest first.
        self._logged: dict[_Kind, float] = {}

    def note(self, status: int, name: str | None, address: str) -> None:
        """Somebody was refused.

        Args:
            status: what they were answered.
            name: the name of their token; never the token.
            address: where their connection comes from.
        """
        now = time.monotonic()
        self._forget(now - _INTERVAL)
        kind = _Kind(status, address)
        if kind in self._logged or len(self._logged) >= _MOST:
            return
        self._logged[kind] = now
        log.warning("refused", extra={"status": status, "by": name, "address": address})

    def _forget(self, before: float) -> None:
        while self._logged:
            kind, logged = next(iter(self._logged.items()))
            if logged > before:
                return
            del self._logged[kind]
