"""The diagnosis of Boss and its database: each finding, its verdict, and what to do about it. Pure."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from boss.model.attention import LONG_AVAILABLE, Attention
from boss.model.duration import duration

# The ages from which a finding needs attention, in seconds. Most work takes less, so a healthy Boss stays silent.
_LONG_TRANSACTION, _VERY_LONG_TRANSACTION = 60.0, 3600.0
_LONG_ACTIVE = 24 * 3600.0
# Maintenance runs every second. What is overdue by more than this, in seconds, is not being done.
_LATE = 10.0
# The most sources that a finding names.
_MOST_NAMED = 10
# Fewer dead rows than this do not slow reads down.
_FEW_DEAD = 100_000


class Verdict(StrEnum):
    """How bad a finding is."""

    WELL = "well"
    WATCH = "watch"
    ILL = "ill"


class Ages(NamedTuple):
    """The age in seconds of a source's first ready job and of its oldest active one; None when there is none."""

    source: str
    available: float | None
    active: float | None


class Facts(NamedTuple):
    """The facts that a diagnosis is made from.

    Attributes:
        settings: settings that durability and clean-up depend on and that are off, for instance `fsync is off`.
        transaction: the age in seconds of the oldest transaction that keeps dead rows; None when there is none.
        transaction_of: the session that this transaction belongs to.
        dead: dead rows in the job table.
        live: jobs in the job table.
        bytes: the size of the job table on disk, indexes included.
        ages: the ages of each source's jobs.
        active: how long ago the job that has been active for longest was taken, in seconds; None when none is active.
        active_at: the address of that job.
        expired: how long the oldest expired lease has been overdue, in seconds; None when there is none.
        late: how long the oldest delayed job that is due has been overdue, in seconds; None when there is none.
        unreadable: the addresses of some jobs whose document or result is too large for any reader.
        replicas: the number of replicas on which takers wait.
        left_behind: the addresses of some done jobs that could not be moved into a volume.
    """

    settings: list[str]
    transaction: float | None
    transaction_of: str
    dead: int
    live: int
    bytes: int
    ages: list[Ages]
    active: float | None
    active_at: str
    expired: float | None
    late: float | None
    replicas: int
    unreadable: list[str]
    left_behind: list[str]


class Finding(NamedTuple):
    """One line of a diagnosis: what was checked, its value, the verdict, and what to do, if anything."""

    what: str
    value: str
    verdict: Verdict
    advice: str = ""


_Needed = Mapping[str, Sequence[Attention]]


def examine(facts: Facts, takers: int, needed: _Needed) -> list[Finding]:
    """The findings for these facts.

    Args:
        facts: the facts.
        takers: the number of takers that wait on this replica.
        needed: the sources that need attention, with the reasons.
    """
    return [
        _durability(facts),
        _transaction(facts),
        _dead_rows(facts),
        _available(facts, needed),
        _sources(needed),
        _active(facts),
        _overdue("expired leases", facts.expired),
        _overdue("delayed jobs that are late", facts.late),
        _unreadable(facts.unreadable),
        _left_behind(facts.left_behind),
        Finding("waiting takers", f"{takers} on this replica; replicas with some: {facts.replicas}", Verdict.WELL),
    ]


def worst(findings: list[Finding]) -> Verdict:
    """The worst verdict of these findings."""
    verdicts = {finding.verdict for finding in findings}
    return next(verdict for verdict in (Verdict.ILL, Verdict.WATCH, Verdict.WELL) if verdict in verdicts)


def _durability(facts: Facts) -> Finding:
    if not facts.settings:
        return Finding("settings", "fsync, synchronous_commit, full_page_writes and autovacuum are on", Verdict.WELL)
    advice = "switch it on in postgresql.conf: what was answered may be lost in a crash, or dead rows stay for ever"
    return Finding("settings", ", ".join(facts.settings), Verdict.ILL, advice)


def _transaction(facts: Facts) -> Finding:
    what, age = "oldest transaction", facts.transaction
    if age is None:
        return Finding(what, "none is open", Verdict.WELL)
    value = f"{duration(age)}, {facts.transaction_of}"
    if age < _LONG_TRANSACTION:
        return Finding(what, value, Verdict.WELL)
    advice = "end it: while it is open PostgreSQL cannot clean up after finished jobs, and the job table grows"
    return Finding(what, value, Verdict.WATCH if age < _VERY_LONG_TRANSACTION else Verdict.ILL, advice)


def _dead_rows(facts: Facts) -> Finding:
    size = f"{facts.dead:,} beside {facts.live:,} jobs; the table has {facts.bytes / 2**20:,.0f} MiB with its indexes"
    if facts.dead <= max(_FEW_DEAD, facts.live):
        return Finding("dead rows", size, Verdict.WELL)
    advice = "end the oldest transaction if it is old; if not, let autovacuum run more often, or VACUUM job"
    return Finding("dead rows", size, Verdict.WATCH, advice)


def _available(facts: Facts, needed: _Needed) -> Finding:
    what = "oldest available job"
    paused = {source for source, reasons in needed.items() if reasons[-1].is_pause}
    waiting = [
        (ages.available, ages) for ages in facts.ages if ages.available is not None and ages.source not in paused
    ]
    if not waiting:
        return Finding(what, "none is ready", Verdict.WELL)
    age, oldest = max(waiting)
    value = f"{duration(age)}, of {oldest.source}"
    if age < LONG_AVAILABLE:
        return Finding(what, value, Verdict.WELL)
    if any(each.at_limit for each in needed.get(oldest.source, ())):
        return Finding(what, value, Verdict.WATCH, f"the limit of {oldest.source} is reached: raise it, or wait")
    if oldest.active is None:
        return Finding(what, value, Verdict.WATCH, f"nobody works on {oldest.source}: start a converter for it")
    return Finding(what, value, Verdict.WATCH, f"the converters of {oldest.source} do not keep up: start more")


def _sources(needed: _Needed) -> Finding:
    what = "sources to look after"
    said = [
        f"{source}: {'; '.join(each.text for each in reasons)}"
        for source, reasons in needed.items()
        if not reasons[0].is_pause
    ]
    if not said:
        return Finding(what, "none", Verdict.WELL)
    more = f", and {len(said) - _MOST_NAMED:,} more" if len(said) > _MOST_NAMED else ""
    advice = "the failed jobs have their reasons: boss jobs --outcome failed; a source whose jobs wait needs converters"
    return Finding(what, ", ".join(said[:_MOST_NAMED]) + more, Verdict.WATCH, advice)


def _active(facts: Facts) -> Finding:
    what = "oldest active job"
    if facts.active is None:
        return Finding(what, "none is active", Verdict.WELL)
    value = f"{duration(facts.active)}, {facts.active_at}"
    if facts.active < _LONG_ACTIVE:
        return Finding(what, value, Verdict.WELL)
    return Finding(what, value, Verdict.WATCH, "if it should not take so long, give it back or stop it: boss give-back")


def _overdue(what: str, late: float | None) -> Finding:
    if late is None or late < _LATE:
        return Finding(what, "none", Verdict.WELL)
    advice = "every replica does this each second; their logs say why they do not"
    return Finding(what, f"the first since {duration(late)}", Verdict.ILL, advice)


def _unreadable(addresses: list[str]) -> Finding:
    what = "unreadable jobs"
    if not addresses:
        return Finding(
            what, "none among the first that are available or active and the last that are done", Verdict.WELL
        )
    advice = (
        "their document or result is too large to be read: submit them in another form, and delete them in SQL by id"
    )
    return Finding(what, ", ".join(addresses), Verdict.WATCH, advice)


def _left_behind(names: list[str]) -> Finding:
    what = "jobs that cannot be moved"
    if not names:
        return Finding(what, "none", Verdict.WELL)
    advice = "they stay in the table job, and are deleted one by one when they are old; Boss's log says why"
    return Finding(what, ", ".join(names), Verdict.WATCH, advice)
