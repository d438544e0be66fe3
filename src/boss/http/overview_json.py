"""What the overview and the history of sources look like in responses."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from boss.model.attention import Attention
from boss.model.converter import KnownConverter
from boss.model.dashboard import View
from boss.model.diagnosis import Verdict, worst
from boss.model.history import Series, Span
from boss.model.overview import SourceView
from boss.model.permissions import Principal

_HEARD_FOR = timedelta(minutes=1)
_QUEUE = ("ready", "delayed", "blocked")


def _attention_json(attention: Attention) -> dict[str, object]:
    """A reason why a source needs attention; the source itself says whether it is at its limit."""
    return {name: value for name, value in attention._asdict().items() if name != "at_limit"}


def source_json(view: SourceView) -> dict[str, object]:
    """A source in the feed."""
    recent = view.recent
    return {
        **view.queue._asdict(),
        "active": view.active,
        "done": view.done,
        "paused": view.paused,
        "limit": view.limit,
        "at_limit": view.at_limit,
        "oldest_ready": view.oldest_ready,
        "failed_hour": recent.failed_hour,
        "failed_day": recent.failed_day,
        "in": recent.came,
        "out": recent.went,
        "asks": view.asks,
        "asked": view.asked,
        "attention": [_attention_json(each) for each in view.attention],
    }


def changed_sources(view: View, seen: View | None) -> dict[str, object]:
    """The sources that changed since the view seen before; None for one that is gone."""
    before: Mapping[str, SourceView] = seen.sources if seen else {}
    if view.sources is before:
        return {}
    changed: dict[str, object] = {
        source: source_json(each) for source, each in view.sources.items() if before.get(source) != each
    }
    return changed | dict.fromkeys(before.keys() - view.sources.keys())


def total_json(view: View, principal: Principal, now: datetime) -> dict[str, object]:
    """The sums over the sources of a view, which are those that the principal may see."""
    sources = view.sources.values()
    oldest = min((each.oldest_ready for each in sources if each.oldest_ready and not each.paused), default=None)
    return {
        "sources": len(sources),
        "attention": sum(any(not reason.is_pause for reason in each.attention) for each in sources),
        "paused": sum(each.paused for each in sources),
        "ready": sum(each.queue.ready for each in sources),
        "delayed": sum(each.queue.delayed for each in sources),
        "blocked": sum(each.queue.blocked for each in sources),
        "active": sum(each.active for each in sources),
        "done": sum(each.done for each in sources),
        "at_least": [name for name in _QUEUE if any(name in each.queue.at_least for each in sources)],
        "oldest_ready": oldest,
        "failed_hour": sum(each.recent.failed_hour for each in sources),
        "failed_day": sum(each.recent.failed_day for each in sources),
        "in": sum(each.recent.came for each in sources),
        "out": sum(each.recent.went for each in sources),
        "minute": view.minute,
        "converters": _converters(view, principal, now),
    }


def _converters(view: View, principal: Principal, now: datetime) -> dict[str, int]:
    theirs = list(_reached(view.converters, principal))
    working = sum(each.holds > 0 for each in theirs)
    # Who works without a name cannot be counted.
    if principal.sources is None and sum(each.active for each in view.sources.values()) > sum(
        each.holds for each in theirs
    ):
        working += 1
    return {"heard": sum(now - each.heard < _HEARD_FOR for each in theirs), "working": working}


def _reached(converters: Iterable[KnownConverter], principal: Principal) -> Iterable[KnownConverter]:
    """The converters that take from sources of the principal."""
    return (
        each
        for each in converters
        if principal.sources is None or (each.sources is not None and not principal.sources.isdisjoint(each.sources))
    )


def doctor_json(view: View, principal: Principal) -> dict[str, object] | None:
    """What the doctor says; None for a principal that is limited to sources."""
    if principal.sources is not None or not view.findings:
        return None
    wrong = [each._asdict() for each in view.findings if each.verdict is not Verdict.WELL]
    return {"verdict": worst(view.findings), "findings": wrong}


def series_json(source: str | None, span: Span, found: Series) -> dict[str, object]:
    """The history of one source, or of all."""
    return {"source": source, "span": span.text, "step": span.seconds, **found._asdict()}
