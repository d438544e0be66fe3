"""How long a job rests after each attempt."""

from boss.model.backoff import LONGEST_FROM, LONGEST_S, backoff


def test_it_doubles_up_to_an_hour() -> None:
    rests = [backoff(attempt) for attempt in range(1, 30)]
    assert rests[:12] == [2.0**n for n in range(12)]
    assert set(rests[12:]) == {LONGEST_S}
    assert backoff(LONGEST_FROM - 1) < LONGEST_S == backoff(LONGEST_FROM)
