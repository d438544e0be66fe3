"""How much memory bodies and unread responses may have, over all connections."""

# A body up to this size may have the last quarter of the budget as well, so that large ones cannot keep it out.
_SMALL_BYTES = 64 * 1024


class Budget:
    """A number of bytes that all connections share.

    Args:
        most: how many there are.

    Attributes:
        used: how many are in use now. Whoever holds some adds them, and takes them off again.
    """

    __slots__ = ("_most", "used")

    def __init__(self, most: int) -> None:
        self._most = most
        self.used = 0

    def has_room(self, more: int, size: int) -> bool:
        """Whether there is room for so many more bytes, of a body of this size."""
        most = self._most if size <= _SMALL_BYTES else self._most * 3 // 4
        return self.used + more <= most

    @property
    def is_exceeded(self) -> bool:
        """Whether more than all of it is in use."""
        return self.used > self._most
