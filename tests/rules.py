"""What dispatchers in tests are held to: nothing."""

from boss.database import Pool
from boss.rules import Rules


def no_rules(pool: Pool) -> Rules:
    """The rules of no source, and queues of any length."""
    return Rules(pool, 10**9, lambda: None)
