"""What a client asks of a Boss that is not about one job."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import quote

from boss.client.answers import Answer, check
from boss.client.json_text import Document, json_text
from boss.client.requests import JSON, Sender, query


class Administering:
    """The tree, lists of jobs, sources and their rules, tokens, and the record of acts."""

    def __init__(self, connection: Sender) -> None:
        self._connection = connection

    @property
    def url(self) -> str:
        """Where its Boss is."""
        return self._connection.url

    async def _ask(self, method: str, path: str, **options: Any) -> Answer:
        """Send a request; return its answer when it is a good one.

        Raises:
            BossError: what the server answered instead.
        """
        answer, _ = await self._connection.send(method, path, **options)
        check(answer)
        return answer

    async def tree(self) -> dict[str, dict[str, int]]:
        """How many jobs there are of each state and source."""
        tree: dict[str, dict[str, int]] = (await self._ask("GET", "/job")).json()
        return tree

    async def drawn_tree(self) -> str:
        """The tree as the design draws it."""
        return (await self._ask("GET", "/job", headers={"accept": "text/plain"})).text

    async def health(self) -> Document:
        """What an examination of the server's database finds: `verdict`, and `findings` with one each."""
        health: Document = (await self._ask("GET", "/health")).json()
        return health

    async def prune(self, older: float) -> tuple[int, bool]:
        """Delete jobs that were done more than `older` seconds ago; return how many, and whether there are more."""
        pruned = (await self._ask("DELETE", "/job/done", params={"older": f"{older:f}"})).json()
        return pruned["deleted"], pruned["more"]

    async def prunable(self, older: float) -> tuple[int, bool]:
        """How many jobs `prune` would delete, as far as they are counted, and whether there are more."""
        counted = (await self._ask("DELETE", "/job/done", params={"older": f"{older:f}", "dry_run": "1"})).json()
        return counted["would_delete"], counted["more"]

    async def sources(self) -> list[Document]:
        """Every source, with its rule and how many jobs it has in each state."""
        sources: list[Document] = (await self._ask("GET", "/source")).json()["sources"]
        return sources

    async def set_rule(self, source: str, *, paused: bool = False, limit: int | None = None) -> None:
        """Hold a source to a rule, and to nothing else.

        Args:
            source: which.
            paused: whether none of its jobs is handed out.
            limit: how many of its jobs may be active at once; any number when None.
        """
        await self._ask(
            "PUT", f"/source/{quote(source, safe='')}", data=json_text({"paused": paused, "limit": limit}), headers=JSON
        )

    async def create_token(
        self, name: str, role: str, *, sources: Sequence[str] | None = None, expires: float | None = None
    ) -> str:
        """Make a token, which nobody can ask for again.

        Args:
            name: what it is called wherever it says who did something.
            role: converter, submitter or admin.
            sources: the sources it is for; all when None.
            expires: for how many seconds it is good; for ever when None.

        Raises:
            NameTaken: there is or was one of that name.
            NeedsAdmin: it is the first one, and no admin's, or it would expire.
        """
        asked = {"role": role, "sources": sources, "expires": expires}
        answer = await self._ask("POST", f"/token/{quote(name, safe='')}", data=json_text(asked), headers=JSON)
        token: str = answer.json()["token"]
        return token

    async def list_tokens(self) -> list[Document]:
        """Every token there is or was, by name: all that is known of it, which is not the token."""
        tokens: list[Document] = (await self._ask("GET", "/token")).json()["tokens"]
        return tokens

    async def revoke_token(self, name: str) -> None:
        """Let a token count no more, within a second on every replica.

        Raises:
            NoToken: there is none of that name.
            NeedsAdmin: it is the last one of an admin, or the last of those that are good for ever.
        """
        await self._ask("DELETE", f"/token/{quote(name, safe='')}")

    async def acts(self) -> AsyncIterator[Document]:
        """What administrators did that is not kept with a job, the newest first."""
        async for act in self._pages("/audit", "acts", {}):
            yield act

    async def jobs(self, *, state: str | None = None, source: str | None = None) -> AsyncIterator[Document]:
        """Every job with all its properties, the newest first, one page after the other."""
        async for job in self._pages("/jobs", "jobs", query(state=state, source=source)):
            yield job

    async def find(self, id: str) -> Document:
        """The job with this id with all its properties, and, while it is available, `why` nobody has it yet.

        Raises:
            NotThere: there is none.
        """
        job: Document = (await self._ask("GET", f"/jobs/{quote(id, safe='')}")).json()
        return job

    async def _pages(self, address: str, what: str, parameters: dict[str, str]) -> AsyncIterator[Document]:
        while address:
            page = (await self._ask("GET", address, params=parameters)).json()
            parameters = {}
            for each in page[what]:
                yield each
            address = page["next"]
