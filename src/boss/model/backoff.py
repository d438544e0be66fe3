"""The backoff: how long a job that was given back waits before its next attempt. Pure."""

LONGEST_S = 3600.0  # seconds
# From this attempt on the delay is the longest.
LONGEST_FROM = 13


def backoff(attempt: int) -> float:
    """The delay in seconds after this attempt: 1 after the first, doubled after each further one, an hour at most.

    With 25 attempts, a job that fails at once each time runs out of them after 13 hours.
    """
    return LONGEST_S if attempt >= LONGEST_FROM else 2.0 ** (attempt - 1)
