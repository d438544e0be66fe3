"""The counters of jobs by source."""

import pytest

from boss.errors import BadInput
from boss.model.job import Outcome, check_source
from boss.telemetry.job_counts import OTHERS, OUTCOMES


def test_every_outcome_has_a_series() -> None:
    assert set(OUTCOMES) == set(Outcome)


def test_no_source_has_the_name_of_the_others() -> None:
    with pytest.raises(BadInput):
        check_source(OTHERS)
