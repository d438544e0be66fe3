"""The part of the model-based test that sets rules of sources."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.helpers.limits import NO_DEFAULTS
from tests.helpers.model_values import DOCUMENTS, MINUTE, PICK, SOURCES, Pick

# One job in 16 minutes and 40 seconds: no sum of the steps of the clock is near it.
_RATE = 0.001
_RULES = st.fixed_dictionaries(
    {},
    optional={
        "paused": st.sampled_from([False, False, True]),
        "limit": st.integers(1, 3),
        "attempts": st.integers(1, 3),
        "delays": st.lists(st.sampled_from([20 * MINUTE, 70 * MINUTE]), min_size=1, max_size=2),
        "lease": st.sampled_from([0, 45 * MINUTE]),
        "timeout": st.just(80 * MINUTE),
        "rate": st.just(_RATE),
    },
)


class SourceRules:
    """Rules for a machine that has a model."""

    @rule(source=SOURCES, of_source=_RULES)
    def set_rule(self: Any, source: str, of_source: dict[str, Any]) -> None:
        answer = self.ask("PUT", f"/source/{source}", json=of_source)
        assert answer.status_code == 200
        assert answer.json() == {"source": source, "paused": False, "limit": None, **NO_DEFAULTS, **of_source}
        self.model.rules[source] = of_source

    @rule(
        pick=PICK,
        held=st.sampled_from([{"limit": 1}, {"limit": 2}, {"rate": _RATE}, {"paused": True}]),
        documents=st.lists(DOCUMENTS, min_size=2, max_size=3),
        of_any=st.booleans(),
        limit=st.sampled_from([None, 3]),
    )
    def hold_back(self: Any, pick: Pick, held: Any, documents: list[Any], of_any: bool, limit: int | None) -> None:
        """Several takes one after the other, of which the rule lets only some have a job."""
        source, id = self.picked(pick, "available")
        self.set_rule(source, held)
        self.submit_many(source, documents, {}, bad=False)
        for lease in (None, 0):
            self.take(None if of_any else source, limit, lease, None, False, False, False)
        self.take_one((source, id), None, None)

    @rule(source=SOURCES)
    def remove_rule(self: Any, source: str) -> None:
        assert self.ask("PUT", f"/source/{source}", json={}).status_code == 200
        self.model.rules.pop(source, None)
