"""Random sequences of every request, on a real server and in a model of the contract that fits on two pages.

Every answer is compared, and after every step all jobs with all their properties. The model goes by the database clock
of tests/clock.py. Leases and delays are long and whole, and so are the steps of the clock, so that the seconds that
really pass meanwhile change nothing.
"""

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.helpers.clock import Clock
from tests.helpers.lines import read_lines
from tests.helpers.model import DEFAULT_LEASE, Model, ModelJob
from tests.helpers.model_of_dependencies import DependencyRules
from tests.helpers.model_of_holding import HoldingRules
from tests.helpers.model_of_moves import MovingRules
from tests.helpers.model_of_rules import SourceRules
from tests.helpers.model_values import DOCUMENTS, EXPIRES, IDS, IF_MATCH, MINUTE, PICK, SOURCES, Pick
from tests.helpers.servers import BossProcess, boss_running

pytestmark = pytest.mark.slow

ANY_SOURCE = st.one_of(st.none(), SOURCES)
LEASES = st.sampled_from([None, 0, 30 * MINUTE, 60 * MINUTE])
ATTEMPTS = st.sampled_from([None, 1, 2, 3])
KEYS = st.sampled_from([None, None, None, "k1", "k2"])
LINES = {"content-type": "application/x-ndjson"}
SHOWN = ("source", "state", "priority", "attempt", "attempts", "outcome", "result", "note", "timeout", "after")


class Machine(HoldingRules, MovingRules, DependencyRules, SourceRules, RuleBasedStateMachine):
    """Does the same to Boss and to the model."""

    boss: BossProcess
    clock: Clock

    @initialize()
    def empty(self) -> None:
        self.clock.run("TRUNCATE job, tally, volume_tally, dependency, ended_job, source_rule, rate_used")
        self.model = Model()
        self.start = time.time() + self.clock.moved
        self.client = self.boss.client()
        # Boss hears of a rule that was deleted by SQL twice a second, of one that is set at once.
        self.client.put("/source/freg", json={}).raise_for_status()

    def teardown(self) -> None:
        if hasattr(self, "client"):
            self.client.close()

    def ask(self, method: str, path: str, headers: dict[str, str | None] | None = None, **more: Any) -> httpx.Response:
        sent = {name: value for name, value in (headers or {}).items() if value is not None}
        answer = self.client.request(method, path, headers=sent, **more)
        note(f"{method} {path} {more} {sent} -> {answer.status_code} {answer.text[:200]}")
        assert answer.status_code < 500
        return answer

    def assert_absent(self, answer: httpx.Response, job: ModelJob | None) -> None:
        """404, and where the job is instead."""
        assert answer.status_code == 404
        assert answer.headers["boss-state"] == (job.state if job else "none")

    def found(self, state: str, source: str, id: str) -> ModelJob | None:
        job = self.model.jobs.get(id)
        return job if job and (job.state, job.source) == (state, source) else None

    def reached(
        self, answer: httpx.Response, state: str, source: str, id: str, if_match: str | None
    ) -> ModelJob | None:
        """The job that a request is about; None when it is not there, or in another attempt, as the answer must say."""
        job = self.found(state, source, id)
        if not job:
            self.assert_absent(answer, self.model.jobs.get(id))
        elif not job.matches(if_match):
            assert (answer.status_code, answer.headers["boss-state"]) == (412, state)
            return None
        return job

    def picked(self, pick: Pick, *states: str) -> tuple[str, str]:
        """The source and id that a request is about."""
        if isinstance(pick, tuple):
            return pick
        jobs = sorted(self.model.jobs.values(), key=lambda job: job.position)
        likely = [job for job in jobs if job.state in states] or jobs
        return (likely[pick % len(likely)].source, likely[pick % len(likely)].id) if likely else ("freg", "id-0")

    # Submitting

    submit_query = st.fixed_dictionaries(
        {},
        optional={
            "priority": st.integers(-2, 2),
            "delay": st.sampled_from([0, 10 * MINUTE, 100 * MINUTE]),
            "attempts": st.integers(1, 3),
            "timeout": st.just(50 * MINUTE),
            "expires": st.just(EXPIRES),
        },
    )

    @rule(source=SOURCES, id=IDS, document=DOCUMENTS, query=submit_query)
    def submit(self, source: str, id: str, document: dict[str, Any], query: dict[str, int]) -> None:
        answer = self.ask("POST", f"/job/available/{source}/{id}", params=query, json=document)
        before = self.model.jobs.get(id)
        if before:
            assert (answer.status_code, answer.headers["boss-state"]) == (409, before.state)
        else:
            job = self.model.submit(id, source, document, query)
            assert (answer.status_code, answer.json()) == (201, job.shown())
            assert answer.headers["location"] == f"/job/available/{source}/{id}"

    @rule(source=SOURCES, document=DOCUMENTS, query=submit_query)
    def submit_without_id(self, source: str, document: dict[str, Any], query: dict[str, int]) -> None:
        answer = self.ask("POST", f"/job/available/{source}", params=query, json=document)
        assert answer.status_code == 201
        assert answer.json() == self.model.submit(answer.json()["id"], source, document, query).shown()

    @rule(source=SOURCES, documents=st.lists(DOCUMENTS, min_size=1, max_size=4), query=submit_query, bad=st.booleans())
    def submit_many(self, source: str, documents: list[dict[str, Any]], query: dict[str, int], bad: bool) -> None:
        lines = [json.dumps(document) for document in documents]
        if bad:
            lines.insert(len(lines) // 2, '{"a": 1e200000}')
        answer = self.ask(
            "POST", f"/job/available/{source}", headers=dict(LINES), params=query, content="\n".join(lines)
        )
        if bad:
            assert answer.status_code == 400
            assert f"Line {len(documents) // 2 + 1}:" in answer.json()["detail"]
            return
        assert answer.status_code == 201
        for line, document in zip(read_lines(answer.text), documents, strict=True):
            self.model.submit(line["id"], source, document, query)

    # Taking

    @rule(
        source=ANY_SOURCE,
        limit=st.sampled_from([None, 1, 3]),
        lease=LEASES,
        key=KEYS,
        post=st.booleans(),
        wait=st.booleans(),
        lines=st.booleans(),
    )
    def take(
        self,
        source: str | None,
        limit: int | None,
        lease: int | None,
        key: str | None,
        post: bool,
        wait: bool,
        lines: bool,
    ) -> None:
        named = (source or "", key) if key else None
        held = self.model.held(named) if named else []
        wanted = held or self.model.first(source, limit or 1)
        query = {"limit": limit, "lease": lease, "wait": 50 if wait and wanted else None}
        answer = self.ask(
            "POST" if post else "GET",
            f"/job/{'active' if post else 'available'}" + (f"/{source}" if source else ""),
            headers={"idempotency-key": key, "accept": "application/x-ndjson" if lines else None},
            params={name: value for name, value in query.items() if value is not None},
        )
        if not wanted:
            assert (answer.status_code, answer.headers["boss-state"]) == (404, "none")
            return
        assert answer.status_code == 200
        for job in wanted:
            if held:
                # The same take again is also a heartbeat.
                job.taken_again(self.model.now)
            else:
                self.model.take(job, lease, named)
        # Of several jobs it is the shortest lease; 0 is for ever.
        leases = {int(job.shown_lease()) for job in wanted} - {0}
        assert answer.headers["boss-lease"] == str(min(leases, default=0))
        if limit is None:
            self.assert_handed_out(answer, wanted[0])
        elif lines:
            assert read_lines(answer.text) == [job.line() for job in wanted]
        else:
            assert answer.json() == [job.shown() for job in wanted]
            self.assert_noted(answer, *wanted)

    @rule(pick=PICK, lease=LEASES, key=KEYS)
    def take_one(self, pick: Pick, lease: int | None, key: str | None) -> None:
        source, id = self.picked(pick, "available", "active" if key else "available")
        query = {} if lease is None else {"lease": lease}
        answer = self.ask("POST", f"/job/active/{source}/{id}", headers={"idempotency-key": key}, params=query)
        named = (f"{source}/{id}", key) if key else None
        job = self.found("available", source, id)
        if job and (job.needs or self.model.room(source) < 1):
            assert (answer.status_code, answer.json()["type"]) == (404, "urn:boss:problem:no-job")
            return
        if job:
            self.model.take(job, lease, named)
            job.due = None
        elif named and (held := self.model.held(named)):
            [job] = held
            job.taken_again(self.model.now)
        else:
            self.assert_absent(answer, self.model.jobs.get(id))
            return
        self.assert_handed_out(answer, job)

    def assert_handed_out(self, answer: httpx.Response, job: ModelJob) -> None:
        assert (answer.status_code, answer.json()) == (200, job.shown())
        assert answer.headers["etag"] == f'"{job.attempt}"'
        assert answer.headers["location"] == f"/job/active/{job.source}/{job.id}"
        assert answer.headers["boss-lease"] == job.shown_lease()
        assert answer.headers["cache-control"] == "no-store, no-transform"
        self.assert_noted(answer, job)

    def assert_noted(self, answer: httpx.Response, *jobs: ModelJob) -> None:
        """Whether the answer says that one of these jobs has a note."""
        assert ("boss-note" in answer.headers) == any(job.note is not None for job in jobs)

    @rule(source=ANY_SOURCE)
    def look(self, source: str | None) -> None:
        answer = self.ask("HEAD", "/job/available" + (f"/{source}" if source else ""))
        assert answer.status_code == (200 if self.model.first(source, 1) else 404)

    # Finishing

    @rule(
        pick=PICK,
        outcome=st.sampled_from([None, "completed", "failed", "stopped"]),
        result=st.none() | DOCUMENTS,
        if_match=IF_MATCH,
    )
    def finish(self, pick: Pick, outcome: str | None, result: dict[str, Any] | None, if_match: str | None) -> None:
        source, id = self.picked(pick, "active", "available")
        answer = self.ask(
            "POST",
            f"/job/done/{source}/{id}",
            headers={"if-match": if_match},
            params={"outcome": outcome} if outcome else {},
            content=b"" if result is None else json.dumps(result),
        )
        job = self.found("available", source, id) or self.found("active", source, id)
        if not job:
            self.assert_absent(answer, self.model.jobs.get(id))
        elif not job.matches(if_match):
            assert (answer.status_code, answer.headers["boss-state"]) == (412, job.state)
        else:
            job.done(outcome or "completed", result, self.model.now)
            assert (answer.status_code, answer.headers["boss-state"]) == (200, "done")

    @rule(
        source=SOURCES,
        lines=st.lists(
            st.fixed_dictionaries(
                {"id": IDS},
                optional={"outcome": st.just("failed"), "result": DOCUMENTS, "attempt": st.integers(0, 3)},
            ),
            min_size=1,
            max_size=5,
        ),
    )
    def finish_many(self, source: str, lines: list[dict[str, Any]]) -> None:
        content = "".join(json.dumps(line) + "\n" for line in lines)
        answer = self.ask("POST", f"/job/done/{source}", headers=dict(LINES), content=content)
        assert answer.status_code == 200
        statuses = []
        for line in lines:
            job = self.found("available", source, line["id"]) or self.found("active", source, line["id"])
            if not job:
                statuses.append(404)
            elif line.get("attempt", job.attempt) != job.attempt:
                statuses.append(412)
            else:
                job.done(line.get("outcome", "completed"), line.get("result"), self.model.now)
                statuses.append(200)
        assert read_lines(answer.text) == [
            {"id": line["id"], "status": status} for line, status in zip(lines, statuses, strict=True)
        ]

    # Time

    @rule(minutes=st.sampled_from([4, 11, 29, 45, 130]))
    def time_passes(self, minutes: int) -> None:
        self.pass_by(minutes * MINUTE)

    def pass_by(self, seconds: float) -> None:
        self.clock.move(seconds)
        self.model.pass_by(seconds)

    @invariant()
    def all_is_the_same(self) -> None:
        if not hasattr(self, "model"):
            return
        self.clock.move(0)
        self.model.settle()
        records = self.client.get("/jobs?limit=1000").json()["jobs"]
        assert [record["id"] for record in records] == sorted(self.model.jobs, reverse=True)
        for record in records:
            job = self.model.jobs[record["id"]]
            for name in SHOWN:
                assert record[name] == getattr(job, name), (name, record)
            assert record["job"] == job.document
            assert (record["finished"] is None) == (job.finished is None)
            if job.due is None:
                assert record["due"] is None or job.state == "active", record
            for name, wanted in (
                ("due", job.due),
                ("until", job.until),
                ("finished", job.finished),
                ("expires", job.expires),
            ):
                if wanted is not None:
                    shown = datetime.fromisoformat(record[name]).timestamp() - self.start
                    assert 0 <= shown - wanted < MINUTE, (name, record, job)
            assert (record["until"] is None) == (job.until is None)
        counts = self.client.get("/job").json()
        for state, of_source in counts.items():
            for source, count in of_source.items():
                assert count == sum((job.state, job.source) == (state, source) for job in self.model.jobs.values())


@pytest.fixture
def machine(database: str) -> Iterator[type[Machine]]:
    with Clock(database) as clock, boss_running("--database", database, "--lease", str(DEFAULT_LEASE)) as boss:
        Machine.boss, Machine.clock = boss, clock
        yield Machine
        assert "Traceback" not in boss.log
        assert '"level":"error"' not in boss.log


# Should it fail, hypothesis takes its time to find a short sequence that fails.
@pytest.mark.long
@pytest.mark.timeout(900)
def test_boss_does_what_the_model_does(machine: type[Machine]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
