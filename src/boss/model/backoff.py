"""How long a job that was given back rests before it is handed out again. Pure."""

LONGEST = 3600.0
# The attempt from which on it rests longest.
LONGEST_FROM = 13


def backoff(attempt: int) -> float:
    """Seconds to rest after this attempt: 1 after the first, then twice as long each time, an hour at most.

    A job of 25 attempts that fails at once each time is thus given up after 13 hours.
    """
    return LONGEST if attempt >= LONGEST_FROM else 2.0 ** (attempt - 1)
