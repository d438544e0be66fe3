"""The client's requests that are not about a single job."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from boss.client.answers import Answer, check
from boss.client.json_text import Document, Json, json_text
from boss.client.requests import JSON, Sender, job_filter
from boss.model.schedule import Missed


class Administering:
    """The tree, lists of jobs, sources and their limits, schedules, tokens, and the audit log."""

    def __init__(self, connection: Sender) -> None:
        self._connection = connection

    @property
    def url(self) -> str:
        """The URL of Boss."""
        return self._connection.url

    async def _ask(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request; return its response when it is a success.

        Raises:
            BossError: the response is an error.
        """
        answer, _ = await self._connection.send(method, path, **options)
        check(answer)
        return answer

    async def tree(self) -> dict[str, dict[str, int]]:
        """The number of jobs of each state and source."""
        tree: dict[str, dict[str, int]] = (await self._ask("GET", "/job")).json()
        return tree

    async def drawn_tree(self) -> str:
        """The tree of states and sources, with the greatest ids of each, drawn as text."""
        return (await self._ask("GET", "/job", headers={"accept": "text/plain"})).text

    async def health(self) -> Document:
        """The diagnosis of the server's database: `verdict`, the worst one, and `findings`, each with its own."""
        health: Document = (await self._ask("GET", "/health")).json()
        return health

    async def converters(self) -> list[Document]:
        """The converters that name themselves: their `sources`, how many jobs each holds, and when it was `heard`."""
        converters: list[Document] = (await self._ask("GET", "/converter")).json()["converters"]
        return converters

    async def prune(self, older: float) -> tuple[int, bool]:
        """Delete jobs that were done more than `older` seconds ago; return how many, and whether there are more."""
        pruned = (await self._ask("DELETE", "/job/done", params={"older": f"{older:f}"})).json()
        return pruned["deleted"], pruned["more"]

    async def prunable(self, older: float) -> tuple[int, bool]:
        """How many jobs `prune` would delete, and whether there are more: the server counts up to 100,000."""
        counted = (await self._ask("DELETE", "/job/done", params={"older": f"{older:f}", "dry_run": "1"})).json()
        return counted["would_delete"], counted["more"]

    async def sources(self) -> list[Document]:
        """Every source, with its rule and the number of its jobs in each state."""
        sources: list[Document] = (await self._ask("GET", "/source")).json()["sources"]
        return sources

    async def source(self, name: str) -> tuple[Document, str]:
        """One source, as `sources` has it, and the version of its rule, for `set_rule`."""
        answer = await self._ask("GET", _source(name))
        return answer.json(), answer.headers["etag"]

    async def set_rule(
        self,
        source: str,
        *,
        paused: bool = False,
        limit: int | None = None,
        attempts: int | None = None,
        delays: Sequence[float] | None = None,
        lease: int | None = None,
        timeout: int | None = None,  # noqa: ASYNC109 - that of an attempt, not of this call
        rate: float | None = None,
        keep_done: float | None = None,
        version: str | None = None,
    ) -> None:
        """Set the rule of a source: its limits, and its defaults. It replaces the source's earlier rule as a whole.

        What is not given is removed, for instance a pause. Without its earlier `keep_done`, jobs that were kept for
        longer may be deleted within seconds. To change one part, give the others as `source` has them, and `version`.

        A default applies where a request says nothing, from then on. None is the default of all sources.

        Args:
            source: the source's name.
            paused: whether none of its jobs is handed out.
            limit: how many of its jobs may be active at once; any number when None.
            attempts: the most attempts of a job.
            delays: how many seconds a job waits after its first failed attempt, after the second, and so on; the last
                one repeats.
            lease: for how many seconds a job is a taker's without a check; 0 for ever.
            timeout: how many seconds an attempt may take.
            rate: how many of its jobs may be taken in a second; any number when None.
            keep_done: for how many days its done jobs are kept; as long as the server keeps all others when None.
            version: set it only if the rule is still the one that `source` returned with this version.

        Raises:
            RuleChanged: the rule has another version than the given one. Read it again.
        """
        words = {
            "paused": paused,
            "limit": limit,
            "attempts": attempts,
            "delays": None if delays is None else list(delays),
            "lease": lease,
            "timeout": timeout,
            "rate": rate,
            "keep_done": keep_done,
        }
        headers = JSON if version is None else {**JSON, "if-match": version}
        await self._ask("PUT", _source(source), data=json_text(words), headers=headers)

    async def schedules(self) -> list[Document]:
        """Every schedule, by name, with its `next` moment."""
        schedules: list[Document] = (await self._ask("GET", "/schedule")).json()["schedules"]
        return schedules

    async def schedule(self, name: str) -> Document:
        """The schedule of this name.

        Raises:
            NoSchedule: there is none.
        """
        schedule: Document = (await self._ask("GET", _schedule(name))).json()
        return schedule

    async def set_schedule(
        self,
        name: str,
        source: str,
        cron: str,
        document: Json,
        *,
        zone: str = "UTC",
        missed: str = Missed.RUN_ONCE,
        paused: bool = False,
    ) -> Document:
        """Set a schedule, in place of the one of its name; return it with its `next` moment.

        Args:
            name: its name. The job of a moment has the id `{name}-{moment}`.
            source: the source of its jobs.
            cron: when it submits a job: minute, hour, day of the month, month and day of the week.
            document: the document of its jobs.
            zone: the time zone of the cron line, such as Europe/Oslo.
            missed: what to do about moments that pass while no Boss is running: "run once" or "skip".
            paused: whether it submits no jobs.

        Raises:
            BadInput: the cron line, the time zone, a name or the document is invalid.
        """
        words = {"source": source, "cron": cron, "zone": zone, "missed": missed, "paused": paused}
        text = f'{json_text(words)[:-1]}, "job": {json_text(document)}}}'
        schedule: Document = (await self._ask("PUT", _schedule(name), data=text, headers=JSON)).json()
        return schedule

    async def run_schedule(self, name: str) -> str:
        """Submit a job of this schedule now, also while it is paused; return the job's id.

        Raises:
            NoSchedule: there is none of this name.
            IdTaken: it was run within this second already.
        """
        id: str = (await self._ask("POST", _schedule(name))).json()["id"]
        return id

    async def delete_schedule(self, name: str) -> None:
        """Delete a schedule. Its jobs stay.

        Raises:
            NoSchedule: there is none of this name.
        """
        await self._ask("DELETE", _schedule(name))

    async def create_token(
        self, name: str, role: str, *, sources: Sequence[str] | None = None, expires: float | None = None
    ) -> str:
        """Create a token and return it. It cannot be read again later.

        Args:
            name: the token's name, by which jobs and the audit log say who did something.
            role: converter, submitter or admin.
            sources: the sources it is for; all when None.
            expires: for how many seconds it is valid; for ever when None.

        Raises:
            NameTaken: a token of that name exists or existed.
            NeedsAdmin: the first token must be an admin's that never expires, and this one is not.
        """
        asked = {"role": role, "sources": sources, "expires": expires}
        answer = await self._ask("POST", f"/token/{quote(name, safe='')}", data=json_text(asked), headers=JSON)
        token: str = answer.json()["token"]
        return token

    async def list_tokens(self) -> list[Document]:
        """Every token with its properties, also expired and revoked ones, by name; never the token itself."""
        tokens: list[Document] = (await self._ask("GET", "/token")).json()["tokens"]
        return tokens

    async def revoke_token(self, name: str) -> None:
        """Revoke a token. It becomes invalid within a second on every replica.

        Raises:
            NoToken: there is no token of that name.
            NeedsAdmin: it is the last admin's token, or the last one of those that never expire.
        """
        await self._ask("DELETE", f"/token/{quote(name, safe='')}")

    async def acts(self) -> AsyncIterator[Document]:
        """The audit log: administrators' actions that are not kept with a job, the newest first."""
        async for event in self._pages("/audit", "acts", {}):
            yield event

    async def jobs(
        self,
        *,
        state: str | None = None,
        source: str | None = None,
        outcome: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        reason: str | None = None,
    ) -> AsyncIterator[Document]:
        """Every job with all its properties, one page after the other.

        The greatest id comes first. With an outcome, a time or a reason the newest comes first: by the time of its
        finish, or else of its submit.

        Args:
            state, source, outcome: only jobs with these.
            since: only jobs of this time or later.
            until: only jobs before this time.
            reason: only done jobs with these words in the reason, in upper or lower case.
        """
        async for job in self._pages("/jobs", "jobs", job_filter(state, source, outcome, since, until, reason)):
            yield job

    async def _pages(self, address: str, what: str, parameters: dict[str, str]) -> AsyncIterator[Document]:
        while address:
            page = (await self._ask("GET", address, params=parameters)).json()
            parameters = {}
            for each in page[what]:
                yield each
            address = page["next"]


def _source(name: str) -> str:
    return f"/source/{quote(name, safe='')}"


def _schedule(name: str) -> str:
    return f"/schedule/{quote(name, safe='')}"
