"""Why a source needs attention, and how its queue is counted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from boss.model.attention import Reason, Standing, attention
from boss.model.diagnosis import Ages, Verdict, examine
from boss.model.job import State
from boss.model.overview import MOST_READY, Asked, Lately, Queue, Survey, SurveyedQueue, overview
from boss.model.source_rule import SourceRule
from tests.unit.test_health import HEALTHY

CALM = Standing(available=9, ready=9, active=2, age=30.0, paused=False, at_limit=False, asks=True, failed=0, ended=100)
NOW = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changed", "reasons", "text"),
    [
        ({}, [], ""),
        ({"failed": 9}, [], ""),
        ({"failed": 10}, [Reason.FAILING], "10 of 100 jobs that ended in the last hour failed"),
        ({"failed": 2, "ended": 2}, [], ""),
        ({"failed": 3, "ended": 3}, [Reason.FAILING], "3 of 3 jobs"),
        ({"age": 599.0}, [], ""),
        ({"age": 1219.0}, [Reason.STUCK], "waited for 20 min: its converters do not keep up"),
        ({"age": 1219.0, "at_limit": True}, [Reason.STUCK], "its limit is reached"),
        ({"age": 1219.0, "ready": 0}, [], ""),
        ({"age": 599.0, "active": 0, "asks": False}, [], ""),
        ({"age": 601.0, "active": 0, "asks": False}, [Reason.NOBODY_ASKS], "10 min, and nobody asks for jobs"),
        ({"age": 599.0, "active": 0}, [], ""),
        ({"age": 1219.0, "active": 0}, [Reason.STUCK], "20 min"),
        ({"age": 1219.0, "paused": True}, [Reason.PAUSED], "it is paused, and 9 jobs are waiting"),
        ({"available": 1, "paused": True}, [Reason.PAUSED], "1 job is waiting"),
        ({"available": 0, "paused": True}, [], ""),
        ({"failed": 50, "age": 1219.0}, [Reason.FAILING, Reason.STUCK], "50 of 100"),
        ({"failed": 50, "paused": True}, [Reason.FAILING, Reason.PAUSED], "50 of 100"),
        ({"available": 0, "failed": 50, "paused": True}, [Reason.FAILING, Reason.PAUSED], "50 of 100"),
    ],
)
def test_reasons(changed: dict[str, Any], reasons: list[Reason], text: str) -> None:
    found = attention(CALM._replace(**changed))
    assert [each.reason for each in found] == reasons
    assert text in " ".join(each.text for each in found)


def test_the_doctor_goes_by_the_same_rules() -> None:
    failing, paused = attention(CALM._replace(failed=50)), attention(CALM._replace(paused=True))
    facts = HEALTHY._replace(ages=[Ages("b", 7200, None)])
    findings = {each.what: each for each in examine(facts, 0, {"a": failing, "b": paused})}
    assert findings["sources to look after"][1:3] == (
        "a: 50 of 100 jobs that ended in the last hour failed",
        Verdict.WATCH,
    )
    assert findings["oldest available job"].verdict is Verdict.WELL
    assert {each.what: each for each in examine(facts, 0, {"b": paused})}["sources to look after"].value == "none"
    stuck = attention(CALM._replace(age=7200.0, at_limit=True))
    assert {each.what: each for each in examine(facts, 0, {"b": stuck})}["oldest available job"].advice == (
        "the limit of b is reached: raise it, or wait"
    )
    many = {each.what: each for each in examine(facts, 0, {f"s-{n}": failing for n in range(12)})}
    assert many["sources to look after"].value.endswith(", and 2 more")


@pytest.mark.parametrize(
    ("surveyed", "more", "queue"),
    [
        (SurveyedQueue(100, 4, 5, None, NOW), (False, False), Queue(91, 4, 5)),
        # Fewer are available by now than when it was surveyed.
        (SurveyedQueue(200, 90, 50, None, NOW), (False, False), Queue(0, 90, 10)),
        (SurveyedQueue(100, 10, 5, 60, NOW), (True, False), Queue(60, 35, 5)),
        (SurveyedQueue(100, 10, 5, 60, NOW), (False, True), Queue(60, 10, 30)),
        (SurveyedQueue(100, 10, 5, 60, NOW), (True, True), Queue(60, 10, 5, ("delayed", "blocked"))),
        (SurveyedQueue(9999, 10, 5, MOST_READY, NOW), (True, False), Queue(MOST_READY, 10, 5, ("ready", "delayed"))),
        (SurveyedQueue(MOST_READY, 0, 0, MOST_READY, NOW), (True, False), Queue(MOST_READY, 0, 0, ("delayed",))),
    ],
)
def test_what_is_counted_and_what_is_concluded(surveyed: SurveyedQueue, more: tuple[bool, bool], queue: Queue) -> None:
    counts = {("a", State.AVAILABLE): 100}
    seen = overview(counts, {}, Survey({"a": surveyed}, *more), Lately(None, {}), Asked(NOW, {}))
    assert seen["a"].queue == queue


def test_who_asks() -> None:
    def of(**ago: float) -> tuple[bool, datetime | None]:
        at = {source.replace("any", ""): NOW - timedelta(seconds=seconds) for source, seconds in ago.items()}
        rules = {"a": SourceRule("a", most_active=4)}
        return overview({}, rules, Survey({}, False, False), Lately(None, {}), Asked(NOW, at))["a"][-3:-1]

    assert of() == (False, None)
    assert of(a=80) == (True, None)
    assert of(any=80, a=3600) == (True, None)
    assert of(any=3600, a=120) == (False, NOW - timedelta(seconds=120))
    assert of(b=1) == (False, None)
