"""The client's requests that redo, stop and delete: one job, or all jobs of a source that a filter finds."""

from datetime import datetime
from typing import Any
from urllib.parse import quote

from boss.client.administering import Administering
from boss.client.json_text import Json, json_text
from boss.client.requests import JSON, address, if_match, job_filter, query
from boss.model.job import State


class MovingMany(Administering):
    """Redo, stop many, and delete. What is done for many jobs is done in batches, for the jobs that there are now."""

    async def redo(self, source: str, id: str, document: Json | None = None, attempt: int | None = None) -> None:
        """Make a done job available again, under its id. It may have as many more attempts as it had at first.

        Args:
            source, id: the job.
            document: its new document; as it is when None.
            attempt: redo it only if it was done in this attempt.

        Raises:
            NotThere: the job is not done.
            WrongAttempt: the job was done in another attempt than the given one.
        """
        await self._ask(
            "POST",
            address(State.AVAILABLE, source, id),
            params={"from": State.DONE},
            data=None if document is None else json_text(document),
            headers={**JSON, **if_match(attempt)},
        )

    async def redo_many(
        self,
        source: str,
        *,
        outcome: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> tuple[int, bool]:
        """Make the done jobs of a source available again.

        Args:
            source: the source.
            outcome, since, until, reason: which of its jobs; see `AsyncClient.jobs`.
            dry_run: only count them.

        Returns how many were moved, and whether there are more, which only a `dry_run` leaves: it counts up to 100,000.
        """
        wanted = {"from": str(State.DONE), **job_filter(None, None, outcome, since, until, reason)}
        return await self._batches("POST", address(State.AVAILABLE, source), wanted, "moved", dry_run)

    async def stop_many(
        self,
        source: str,
        state: str,
        reason: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        dry_run: bool = False,
    ) -> tuple[int, bool]:
        """Stop the jobs of a source that are available, or those that are active.

        Args:
            source, state: which jobs.
            reason: it is kept with each job.
            since, until: only jobs submitted from the first to before the second time.
            dry_run: only count them.

        Returns how many were stopped, and whether there are more; see `AsyncClient.redo_many`.
        """
        wanted = {"from": state, **job_filter(None, None, None, since, until, None)}
        body = None if reason is None else json_text({"reason": reason})
        return await self._batches("POST", address(State.DONE, source), wanted, "moved", dry_run, body)

    async def stop_all(self, source: str, reason: str | None = None) -> int:
        """Stop every available and active job of a source; return their number. The reason is kept with each job."""
        stopped, more = 0, True
        while more:
            # A job that is taken or given back meanwhile is stopped by another round.
            available, _ = await self.stop_many(source, State.AVAILABLE, reason)
            active, _ = await self.stop_many(source, State.ACTIVE, reason)
            more = bool(available + active)
            stopped += available + active
        return stopped

    async def delete(self, source: str, id: str) -> None:
        """Delete a done job.

        Raises:
            NotThere: the job is not done.
        """
        await self._ask("DELETE", address(State.DONE, source, id))

    async def delete_many(
        self,
        source: str,
        *,
        outcome: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        reason: str | None = None,
        dry_run: bool = False,
    ) -> tuple[int, bool]:
        """Delete the done jobs of a source; see `AsyncClient.redo_many`."""
        wanted = job_filter(None, None, outcome, since, until, reason)
        return await self._batches("DELETE", address(State.DONE, source), wanted, "deleted", dry_run)

    async def delete_source(self, source: str) -> None:
        """Delete the limits and the counts of a source that has no jobs.

        Raises:
            SourceInUse: it has jobs.
        """
        await self._ask("DELETE", f"/source/{quote(source, safe='')}")

    async def _batches(
        self, method: str, path: str, wanted: dict[str, str], done: str, dry_run: bool, body: str | None = None
    ) -> tuple[int, bool]:
        """Send a request until no jobs are left.

        It begins with a count, whose time is the end of all batches. So when one is sent again after its response was
        lost, it moves no job that has become done since.
        """
        counted: dict[str, Any] = (
            await self._ask(method, path, params={**wanted, "dry_run": "1"}, data=None, headers=JSON)
        ).json()
        if dry_run:
            return counted[f"would_{done.removesuffix('d')}"], counted["more"]
        jobs, following, parameters = 0, path, query(**{**wanted, "until": counted["until"]})
        while following:
            moved = (await self._ask(method, following, params=parameters, data=body, headers=JSON)).json()
            jobs, following, parameters = jobs + moved[done], moved["next"], {}
        return jobs, False
