"""Log refused requests (401, 403, 429) with the client's address and the name of its token, if that is known."""

import logging
import time
from typing import NamedTuple

log = logging.getLogger("boss")

REFUSALS = frozenset([401, 403, 429])
# Each pair of status and address is logged once in this many seconds, and at most this many pairs are. So refused
# requests fill neither the disk nor the memory.
_INTERVAL_S = 1.0
_MOST = 1000


class _Kind(NamedTuple):
    status: int
    address: str


class Refusals:
    """Logs refused requests, at a limited rate."""

    def __init__(self) -> None:
        # When each pair was logged, oldest first.
        self._logged: dict[_Kind, float] = {}

    def note(self, status: int, name: str | None, address: str) -> None:
        """Log a refused request, unless its status and address were logged just now.

        Args:
            status: the status of the response.
            name: the name of the request's token; never the token itself.
            address: the client's address.
        """
        now = time.monotonic()
        self._forget(now - _INTERVAL_S)
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
