"""The part of the model-based test that finds, redoes, stops and deletes; test_model.py has the rest."""

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.helpers.model_values import DOCUMENTS, IF_MATCH, MINUTE, PICK, SOURCES, Pick

OUTCOMES = st.sampled_from([None, "completed", "failed", "stopped", "abandoned"])


class MovingRules:
    """Rules for a machine that has a model. Of a job's time they go by what Boss shows, which is exact."""

    @rule(source=st.none() | SOURCES, outcome=OUTCOMES, since=st.none() | st.integers(0, 30), limit=st.integers(1, 4))
    def find(self: Any, source: str | None, outcome: str | None, since: int | None, limit: int) -> None:
        query = {"source": source, **self.filter_of(outcome, since)}
        if len(query) == 1:
            return
        wanted = [job for job in self.shown() if source in (None, job["source"]) and matches(job, query)]
        asked = {name: value for name, value in query.items() if value is not None}
        found, page = [], self.ask("GET", "/jobs", params={**asked, "limit": limit}).json()
        found += page["jobs"]
        while page["next"]:
            page = self.ask("GET", page["next"]).json()
            found += page["jobs"]
        assert [job["id"] for job in found] == [
            job["id"] for job in sorted(wanted, key=lambda job: (time_of(job), job["id"]), reverse=True)
        ]

    @rule(pick=PICK, document=st.none() | DOCUMENTS, if_match=IF_MATCH)
    def redo(self: Any, pick: Pick, document: dict[str, Any] | None, if_match: str | None) -> None:
        source, id = self.picked(pick, "done")
        body = b"" if document is None else json.dumps(document)
        path = f"/job/available/{source}/{id}?from=done"
        answer = self.ask("POST", path, headers={"if-match": if_match}, content=body)
        if job := self.reached(answer, "done", source, id, if_match):
            self.model.redo(job)
            if document is not None:
                job.document, job.note = document, None
            assert (answer.status_code, answer.json()) == (200, job.shown())
            assert answer.headers["etag"] == f'"{job.attempt}"'

    @rule(source=SOURCES, outcome=OUTCOMES, since=st.none() | st.integers(0, 30), dry_run=st.booleans())
    def redo_many(self: Any, source: str, outcome: str | None, since: int | None, dry_run: bool) -> None:
        wanted = self.ask_for_many("POST", f"/job/available/{source}?from=done", source, outcome, since, dry_run)
        for job in sorted(wanted, key=lambda job: job.position):
            self.model.redo(job)

    @rule(source=SOURCES, outcome=OUTCOMES, since=st.none() | st.integers(0, 30), dry_run=st.booleans())
    def delete_many(self: Any, source: str, outcome: str | None, since: int | None, dry_run: bool) -> None:
        for job in self.ask_for_many("DELETE", f"/job/done/{source}", source, outcome, since, dry_run):
            del self.model.jobs[job.id]

    @rule(pick=PICK)
    def delete(self: Any, pick: Pick) -> None:
        source, id = self.picked(pick, "done")
        answer = self.ask("DELETE", f"/job/done/{source}/{id}")
        if self.found("done", source, id):
            assert answer.status_code == 204
            del self.model.jobs[id]
        else:
            self.assert_absent(answer, self.model.jobs.get(id))

    @rule(minutes=st.sampled_from([0, 15, 60]))
    def prune(self: Any, minutes: int) -> None:
        answer = self.ask("DELETE", f"/job/done?older={minutes * MINUTE}")
        old = [
            job.id
            for job in self.model.jobs.values()
            if job.finished is not None and job.finished <= self.model.now - minutes * MINUTE
        ]
        assert answer.json() == {"deleted": len(old), "more": False}
        for id in old:
            del self.model.jobs[id]

    @rule(source=SOURCES, state=st.sampled_from(["available", "active"]), result=st.none() | DOCUMENTS)
    def stop_many(self: Any, source: str, state: str, result: dict[str, Any] | None) -> None:
        body = b"" if result is None else json.dumps(result)
        answer = self.ask("POST", f"/job/done/{source}?from={state}", content=body)
        wanted = [job for job in self.model.jobs.values() if (job.source, job.state) == (source, state)]
        assert (answer.status_code, answer.json()["moved"], answer.json()["more"]) == (200, len(wanted), False)
        for job in wanted:
            job.done("stopped", result, self.model.now)

    def ask_for_many(
        self: Any, method: str, path: str, source: str, outcome: str | None, since: int | None, dry_run: bool
    ) -> list[Any]:
        """Send the request, and return the model's jobs that it is to move."""
        query = self.filter_of(outcome, since)
        done = [job for job in self.shown() if (job["source"], job["state"]) == (source, "done")]
        wanted = [self.model.jobs[job["id"]] for job in done if matches(job, query)]
        asked = {**dict(each.split("=") for each in path.split("?")[1:]), **query}
        answer = self.ask(method, path.split("?")[0], params={**asked, **({"dry_run": 1} if dry_run else {})})
        shown = answer.json()
        number = next(shown[name] for name in ("would_move", "would_delete", "moved", "deleted") if name in shown)
        assert (answer.status_code, number, shown["more"]) == (200, len(wanted), False)
        return [] if dry_run else wanted

    def shown(self: Any) -> list[dict[str, Any]]:
        """All jobs as Boss shows them."""
        jobs: list[dict[str, Any]] = self.client.get("/jobs?limit=1000").json()["jobs"]
        return jobs

    def filter_of(self: Any, outcome: str | None, since: int | None) -> dict[str, str]:
        """A filter by outcome, and by the time of one of the jobs."""
        times = sorted(time_of(job) for job in self.shown())
        query = {} if outcome is None else {"outcome": outcome}
        return {**query, "since": times[since % len(times)]} if since is not None and times else query


def time_of(job: dict[str, Any]) -> str:
    time: str = job["finished"] or job["submitted"]
    # The fraction of a second is not shown when it is zero.
    return time if "." in time else time.replace("Z", ".000000Z")


def matches(job: dict[str, Any], query: dict[str, Any]) -> bool:
    return query.get("outcome") in (None, job["outcome"]) and time_of(job) >= query.get("since", "")
