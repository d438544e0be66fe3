"""The model of the model-based test: what the contract says of jobs, in memory."""

import math
from dataclasses import dataclass, field
from typing import Any

from tests.helpers.model_values import MINUTE

DEFAULT_LEASE = 90 * MINUTE


@dataclass
class ModelJob:
    """What the contract says of a job. Times are the model's."""

    id: str
    source: str
    document: dict[str, Any]
    priority: int
    position: int
    attempts: int
    due: float | None
    state: str = "available"
    attempt: int = 0
    lease: int = 0
    until: float | None = None
    key: tuple[str, str] | None = None
    finished: float | None = None
    outcome: str | None = None
    result: dict[str, Any] | None = None
    note: dict[str, Any] | None = None
    timeout: int | None = None
    # When its attempt is over, and when it is abandoned if nobody has taken it.
    ends: float | None = None
    expires: float | None = None
    # The jobs it was submitted to come after, and those of them that it waits for.
    after: list[str] = field(default_factory=list)
    needs: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.allowed = self.attempts

    def shown(self) -> dict[str, Any]:
        return {"id": self.id, "source": self.source, "job": self.document}

    def line(self) -> dict[str, Any]:
        noted = {} if self.note is None else {"note": self.note}
        return {**self.shown(), "attempt": self.attempt, **noted}

    def matches(self, if_match: str | None) -> bool:
        return if_match in (None, "*", f'"{self.attempt}"', f'W/"{self.attempt}"')

    def taken(self, lease: int, key: tuple[str, str] | None, now: float) -> None:
        self.state, self.attempt, self.lease, self.key = "active", self.attempt + 1, lease, key
        self.ends = None if self.timeout is None else now + self.timeout
        self.until = self._end(now + lease if lease else None)

    def taken_again(self, now: float) -> None:
        self.until = self._end(now + self.lease if self.lease else None)

    def shown_lease(self) -> str:
        return str(min(self.lease or math.inf, self.timeout or math.inf)).replace("inf", "0")

    def checked(self, now: float) -> None:
        # A moment has always passed, so what has just a lease left has less.
        if self.lease and self.until is not None and self.until <= now + self.lease:
            self.renewed(now)

    def noted(self, note: dict[str, Any], now: float) -> None:
        self.note = note
        self.renewed(now)

    def renewed(self, now: float) -> None:
        if self.lease:
            self.until = self._end(now + self.lease * 4 / 3)

    def _end(self, of_lease: float | None) -> float | None:
        return min((end for end in (of_lease, self.ends) if end is not None), default=None)

    def silent(self, now: float) -> None:
        """The lease ran out, or the attempt took too long."""
        if self.until == self.ends and self.attempt >= self.attempts:
            sentence = f"the attempt took longer than its timeout of {self.timeout:,} seconds"
            self.done("failed", {"error": sentence}, now)
        else:
            self.let_go("abandoned", None, now)

    def let_go(self, outcome: str, due: float | None, now: float) -> None:
        """Given back or fallen silent."""
        if self.attempt < self.attempts:
            self.state, self.due, self.until, self.key = "available", due, None, None
        else:
            self.done(outcome, self.result, now)

    def done(self, outcome: str, result: dict[str, Any] | None, now: float) -> None:
        self.state, self.outcome, self.result, self.finished = "done", outcome, result, now
        self.due = self.until = self.key = None
        self.needs = set()


@dataclass
class Model:
    """All jobs, by id."""

    jobs: dict[str, ModelJob] = field(default_factory=dict)
    now: float = 0
    submitted: int = 0
    # The rule of each source, and when the bucket of its rate is full again.
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    full_at: dict[str, float] = field(default_factory=dict)

    def rule(self, source: str, name: str, otherwise: Any = None) -> Any:
        """A part of a source's rule."""
        value = self.rules.get(source, {}).get(name)
        return otherwise if value is None else value

    def submit(self, id: str, source: str, document: dict[str, Any], query: dict[str, int]) -> ModelJob:
        self.submitted += 1
        due = self.now + query["delay"] if query.get("delay") else None
        attempts = query.get("attempts", self.rule(source, "attempts", 25))
        job = ModelJob(id, source, document, query.get("priority", 0), self.submitted, attempts, due)
        job.timeout = query.get("timeout", self.rule(source, "timeout"))
        job.expires = self.now + query["expires"] if "expires" in query else None
        self.jobs[id] = job
        return job

    def submit_after(self, id: str, source: str, document: dict[str, Any], after: list[str]) -> None:
        job = self.submit(id, source, document, {})
        job.after, job.needs = after, {each for each in after if self.jobs[each].outcome != "completed"}

    def settle(self) -> None:
        """What the ends of jobs mean to those that come after them."""
        while ended := {job.id: job.outcome for job in self.jobs.values() if job.state == "done"}:
            waiting = [job for job in self.jobs.values() if job.needs & ended.keys()]
            if not waiting:
                return
            for job in waiting:
                if failed := sorted(each for each in job.needs & ended.keys() if ended[each] != "completed"):
                    how = "failed" if ended[failed[0]] == "failed" else f"was {ended[failed[0]]}"
                    job.done("stopped", {"reason": f"it waited for {failed[0]}, which {how}"}, self.now)
                job.needs -= ended.keys()

    def redo(self, job: ModelJob) -> None:
        self.submitted += 1
        job.state, job.position, job.attempts = "available", self.submitted, job.attempts + job.allowed
        job.finished = job.outcome = job.expires = None
        job.after = []

    def queue(self, source: str | None) -> list[ModelJob]:
        ready = [
            job
            for job in self.jobs.values()
            if job.state == "available" and job.due is None and not job.needs and source in (None, job.source)
        ]
        return sorted(ready, key=lambda job: (-job.priority, job.position))

    def room(self, source: str) -> float:
        """How many jobs of a source may be taken now."""
        if self.rule(source, "paused"):
            return 0
        active = sum((job.state, job.source) == ("active", source) for job in self.jobs.values())
        by_limit: float = self.rule(source, "limit", math.inf) - active
        if self.rule(source, "rate") is None:
            return by_limit
        return min(by_limit, 1 if self.full_at.get(source, 0) <= self.now else 0)

    def first(self, source: str | None, most: int) -> list[ModelJob]:
        """The jobs that a take gets."""
        queue = self.queue(source)
        rooms = {each: self.room(each) for each in {job.source for job in queue}}
        got: list[ModelJob] = []
        for job in queue:
            if rooms[job.source] >= 1:
                rooms[job.source] -= 1
                got.append(job)
        return got[:most]

    def take(self, job: ModelJob, lease: int | None, key: tuple[str, str] | None) -> None:
        """A job is taken; without a lease of the request it is that of the rule."""
        job.taken(self.rule(job.source, "lease", DEFAULT_LEASE) if lease is None else lease, key, self.now)
        if rate := self.rule(job.source, "rate"):
            self.full_at[job.source] = max(self.full_at.get(job.source, 0), self.now) + 1 / rate

    def delay(self, job: ModelJob) -> float | None:
        """The delay of the rule after this attempt."""
        delays: list[float] | None = self.rule(job.source, "delays")
        return delays[min(job.attempt, len(delays)) - 1] if delays else None

    def held(self, key: tuple[str, str]) -> list[ModelJob]:
        held = [job for job in self.jobs.values() if job.key == key]
        return sorted(held, key=lambda job: (-job.priority, job.position))

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        for job in self.jobs.values():
            if job.due is not None and job.due <= self.now:
                job.due = None
            if job.until is not None and job.until <= self.now:
                job.silent(self.now)
            if job.state == "available" and not job.attempt and job.expires is not None and job.expires <= self.now:
                job.done("abandoned", {"error": "nobody took the job before it expired"}, self.now)
