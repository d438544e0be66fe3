"""The part of the model-based test about jobs that come after others; test_model.py has the rest."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.helpers.model_values import DOCUMENTS, IDS, SOURCES


class DependencyRules:
    """Rules for a machine that has a model."""

    @rule(source=SOURCES, id=IDS, document=DOCUMENTS, picks=st.lists(st.integers(0, 30), min_size=1, max_size=3))
    def submit_after(self: Any, source: str, id: str, document: dict[str, Any], picks: list[int]) -> None:
        there = [*sorted(self.model.jobs), "no-such"]
        after = list(dict.fromkeys(there[pick % len(there)] for pick in picks))
        path = f"/job/available/{source}/{id}"
        answer = self.ask("POST", path, params={"after": ",".join(after)}, json=document)
        if id in self.model.jobs:
            assert answer.status_code == 409
        elif "no-such" in after:
            assert answer.status_code == 400
        else:
            assert answer.status_code == 201
            self.model.submit_after(id, source, document, after)
