"""The part of the model-based test that holds jobs: reads, heartbeats, notes and give-backs."""

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from boss.model.backoff import backoff
from tests.helpers.model_values import DOCUMENTS, IF_MATCH, MINUTE, PICK, STATES, Pick


class HoldingRules:
    """Rules for a machine that has a model."""

    @rule(method=st.sampled_from(["GET", "HEAD"]), state=STATES, pick=PICK, if_match=IF_MATCH)
    def read(self: Any, method: str, state: str, pick: Pick, if_match: str | None) -> None:
        source, id = self.picked(pick, state)
        answer = self.ask(method, f"/job/{state}/{source}/{id}", headers={"if-match": if_match})
        if job := self.reached(answer, state, source, id, if_match):
            assert answer.status_code == 200
            assert answer.headers["etag"] == f'"{job.attempt}"'
            if method == "GET":
                assert answer.json() == job.shown()
            else:
                job.checked(self.model.now)

    @rule(pick=PICK, if_match=IF_MATCH)
    def check(self: Any, pick: Pick, if_match: str | None) -> None:
        self.read("HEAD", "active", pick, if_match)

    @rule(
        pick=PICK,
        delay=st.sampled_from([None, 0, 10 * MINUTE]),
        result=st.none() | DOCUMENTS,
        if_match=IF_MATCH,
    )
    def give_back(
        self: Any, pick: Pick, delay: int | None, result: dict[str, Any] | None, if_match: str | None
    ) -> None:
        source, id = self.picked(pick, "active")
        answer = self.ask(
            "DELETE",
            f"/job/active/{source}/{id}",
            headers={"if-match": if_match},
            params={} if delay is None else {"delay": delay},
            content=b"" if result is None else json.dumps(result),
        )
        if job := self.reached(answer, "active", source, id, if_match):
            own = self.model.delay(job)
            rest = delay if delay is not None else backoff(job.attempt) if own is None else own
            job.let_go("failed", self.model.now + rest if rest else None, self.model.now)
            job.result = job.result if result is None else result
            assert (answer.status_code, answer.headers["boss-state"]) == (204, job.state)
            if delay is None and own is None:
                # The backoff is seconds, which may really have passed by the next step.
                self.pass_by(10)

    @rule(pick=PICK, note=DOCUMENTS, if_match=IF_MATCH)
    def leave_note(self: Any, pick: Pick, note: dict[str, Any], if_match: str | None) -> None:
        source, id = self.picked(pick, "active")
        path = f"/job/active/{source}/{id}"
        answer = self.ask("PUT", path, headers={"if-match": if_match}, content=json.dumps(note))
        if job := self.reached(answer, "active", source, id, if_match):
            job.noted(note, self.model.now)
            assert (answer.status_code, answer.headers["boss-state"]) == (204, "active")
