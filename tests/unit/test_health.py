"""What is thought of the facts."""

from typing import Any

import pytest

from boss.model.diagnosis import Ages, Facts, Verdict, examine, worst
from boss.model.duration import duration

HEALTHY = Facts([], None, "", 0, 10, 2**20, [], None, "", None, None, 0, [], [])


@pytest.mark.parametrize(
    ("what", "facts", "verdict", "says"),
    [
        ("settings", {"settings": ["fsync is off"]}, Verdict.ILL, "fsync is off"),
        ("oldest transaction", {"transaction": 59.0, "transaction_of": "process 7"}, Verdict.WELL, "59 s, process 7"),
        ("oldest transaction", {"transaction": 61.0, "transaction_of": "process 7"}, Verdict.WATCH, "end it"),
        ("oldest transaction", {"transaction": 3601.0, "transaction_of": "process 7"}, Verdict.ILL, "end it"),
        ("dead rows", {"dead": 100_000}, Verdict.WELL, "100,000 beside 10 jobs"),
        ("dead rows", {"dead": 100_001}, Verdict.WATCH, "VACUUM job"),
        ("dead rows", {"dead": 200_000, "live": 200_000}, Verdict.WELL, "1 MiB"),
        ("oldest available job", {"ages": [Ages("a", 599, None)]}, Verdict.WELL, "10 min, of a"),
        ("oldest available job", {"ages": [Ages("a", 5, 9), Ages("b", 700, None), Ages("c", None, 8)]}, Verdict.WATCH,
         "nobody works on b"),
        ("oldest available job", {"ages": [Ages("b", 700, 3)]}, Verdict.WATCH, "start more"),
        ("oldest active job", {"active": 3600.0, "active_at": "/job/active/a/b"}, Verdict.WELL, "60 min, /job/active"),
        ("oldest active job", {"active": 86401.0, "active_at": "/job/active/a/b"}, Verdict.WATCH, "give it back"),
        ("expired leases", {"expired": 0.5}, Verdict.WELL, "none"),
        ("expired leases", {"expired": 11.0}, Verdict.ILL, "the first since 11 s"),
        ("delayed jobs that are late", {"late": 11.0}, Verdict.ILL, "the first since 11 s"),
        ("waiting takers", {"replicas": 2}, Verdict.WELL, "5 on this replica; replicas with some: 2"),
    ],
)  # fmt: skip
def test_a_finding(what: str, facts: dict[str, Any], verdict: Verdict, says: str) -> None:
    findings = examine(HEALTHY._replace(**facts), takers=5, needed={})
    [finding] = [finding for finding in findings if finding.what == what]
    assert finding.verdict is verdict
    assert says in f"{finding.value}; {finding.advice}"
    assert bool(finding.advice) == (verdict is not Verdict.WELL)
    assert worst(findings) is verdict
    assert [each for each in findings if each != finding and each.verdict is not Verdict.WELL] == []


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0.4, 119, 120, 7199, 7200, 172_799, 172_800)] == [
        "0 s", "119 s", "2 min", "120 min", "2.0 h", "48.0 h", "2 days",
    ]  # fmt: skip
