"""The memory budget: how much request bodies and unread responses of all connections may use together."""

# Only bodies up to this size may use the last quarter of the budget, so that large bodies cannot keep small ones out.
_SMALL_BYTES = 64 * 1024


class Budget:
    """A number of bytes that all connections share.

    Args:
        most: the size of the budget, in bytes.

    Attributes:
        used: how many bytes are in use now. A holder of bytes adds them here, and subtracts them when it frees them.
    """

    __slots__ = ("_most", "used")

    def __init__(self, most: int) -> None:
        self._most = most
        self.used = 0

    def has_room(self, more: int, size: int) -> bool:
        """Whether the budget has room for `more` bytes of a body of this size."""
        most = self._most if size <= _SMALL_BYTES else self._most * 3 // 4
        return self.used + more <= most

    @property
    def is_exceeded(self) -> bool:
        """Whether more bytes are in use than the budget has."""
        return self.used > self._most
