"""How well Boss and its database do their work: what was found, what to think of it, and what to do. Pure."""

from enum import StrEnum
from typing import NamedTuple

# From when on something is worth a look, in seconds. Most work takes less, so that a healthy Boss stays silent.
_LONG_TRANSACTION, _VERY_LONG_TRANSACTION = 60.0, 3600.0
_LONG_AVAILABLE = 600.0
_LONG_ACTIVE = 24 * 3600.0
# Maintenance runs every second. What is later than this was not done.
_LATE = 10.0
# A table of fewer dead rows is read as fast as without them.
_FEW_DEAD = 100_000


class Verdict(StrEnum):
    """What to think of a finding."""

    WELL = "well"
    WATCH = "watch"
    ILL = "ill"


class Ages(NamedTuple):
    """For how many seconds the first ready job of a source has been there, and its oldest active one; None for none."""

    source: str
    available: float | None
    active: float | None


class Facts(NamedTuple):
    """What the database says.

    Attributes:
        settings: those on which durability and clean-up rest that are not as they should be, as `fsync is off`.
        transaction: how old the oldest transaction is that keeps dead rows, in seconds; None when there is none.
        transaction_of: whose that is.
        dead: dead rows in the job table.
        live: jobs in the job table.
        bytes: what the job table takes on disk with its indexes.
        ages: of each source.
        active: how long ago the job that has been active for longest was taken, in seconds; None when none is.
        active_at: its address.
        expired: how long ago the first lease ran out that still stands, in seconds; None when none has.
        late: the same for delayed jobs whose time has come.
        unreadable: the addresses of some jobs of which no reader can be given the document or the result.
        replicas: on how many replicas takers wait.
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


class Finding(NamedTuple):
    """One line of an examination: what was looked at, how it is, what to think of that, and what to do if anything."""

    what: str
    value: str
    verdict: Verdict
    advice: str = ""


def examine(facts: Facts, takers: int) -> list[Finding]:
    """What to think of the facts; `takers` wait on the replica that is asked."""
    return [
        _durability(facts),
        _transaction(facts),
        _dead_rows(facts),
        _available(facts),
        _active(facts),
        _overdue("expired leases", facts.expired),
        _overdue("delayed jobs that are late", facts.late),
        _unreadable(facts.unreadable),
        Finding("waiting takers", f"{takers} on this replica; replicas with some: {facts.replicas}", Verdict.WELL),
    ]


def worst(findings: list[Finding]) -> Verdict:
    """The worst verdict among them."""
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


def _available(facts: Facts) -> Finding:
    what = "oldest available job"
    waiting = [(ages.available, ages) for ages in facts.ages if ages.available is not None]
    if not waiting:
        return Finding(what, "none is ready", Verdict.WELL)
    age, oldest = max(waiting)
    value = f"{duration(age)}, of {oldest.source}"
    if age < _LONG_AVAILABLE:
        return Finding(what, value, Verdict.WELL)
    if oldest.active is None:
        return Finding(what, value, Verdict.WATCH, f"nobody works on {oldest.source}: start a converter for it")
    return Finding(what, value, Verdict.WATCH, f"the converters of {oldest.source} do not keep up: start more")


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


def duration(seconds: float) -> str:
    """So many seconds in words: `42 s`, `3 min`, `5.5 h`, `12 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"
