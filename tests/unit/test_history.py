"""Which volume a done job goes into."""

import pytest

from boss.dispatch.history import current, volume_of
from boss.postgres.store import Volume

SPAN = 100.0


def volumes(**first: float) -> list[Volume]:
    """Eight volumes, of which these hold jobs; the first of them was finished so many seconds ago."""
    found = {int(name[1:]): age for name, age in first.items()}
    return [Volume(number, found.get(number), found.get(number)) for number in range(1, 9)]


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({}, 1),
        ({"v1": 99}, 1),
        ({"v1": 101}, 2),
        ({"v1": 201, "v2": 99}, 2),
        ({"v1": 201, "v2": 101}, 3),
        # The first was emptied.
        ({"v7": 201, "v8": 101}, 1),
        ({f"v{number}": 900 - number * 100 for number in range(1, 9)}, 8),
        ({f"v{number}": 1000 - number * 100 for number in range(1, 9)}, 8),
    ],
)
def test_the_current_volume_is_the_youngest_or_an_empty_one(held: dict[str, float], expected: int) -> None:
    assert current(volumes(**held), SPAN) == expected


@pytest.mark.parametrize(
    ("age", "held", "expected"),
    [
        (1, {"v1": 5}, 1),
        (99, {"v1": 5}, 1),
        # A volume of its time.
        (250, {"v1": 5, "v8": 300}, 8),
        # None of its time: an empty one from the end.
        (250, {"v1": 5, "v8": 500}, 7),
        (600, {"v1": 5, "v8": 500}, 7),
        # Two are left to the jobs to come.
        (600, {f"v{number}": number * 10 for number in range(1, 7)}, 6),
    ],
)
def test_an_old_job_goes_into_a_volume_of_its_time(age: float, held: dict[str, float], expected: int) -> None:
    assert volume_of(age, volumes(**held), SPAN) == expected
