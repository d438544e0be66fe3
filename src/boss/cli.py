"""The command `boss`."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from boss.errors import StartError
from boss.job import DEFAULT_LEASE, LONGEST_LEASE
from boss.settings import DEFAULT_HOST, DEFAULT_MAX_DOCUMENT, DEFAULT_PORT, Settings

if TYPE_CHECKING:
    import httpx

DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"

app = typer.Typer(help="Boss, a job dispatcher over plain HTTP.", no_args_is_help=True, add_completion=False)


@app.callback()
def main() -> None:
    """Boss, a job dispatcher over plain HTTP."""


def _default_data() -> Path:
    """/var/lib/boss for root, else ~/.local/share/boss (XDG Base Directory Specification)."""
    if os.geteuid() == 0:
        return Path("/var/lib/boss")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "boss"


@app.command(epilog="Example: boss serve --port 9000 --data ./data")
def serve(
    host: Annotated[str, typer.Option(envvar="BOSS_HOST", help="Address to listen on.")] = DEFAULT_HOST,
    port: Annotated[int, typer.Option(envvar="BOSS_PORT", min=1, max=65535, help="Port to listen on.")] = DEFAULT_PORT,
    database: Annotated[
        str | None,
        typer.Option(
            envvar="BOSS_DATABASE",
            metavar="URL",
            help="A PostgreSQL 15 or newer, as postgresql://user:password@host/name. "
            "Without it an embedded PostgreSQL is started in --data.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="BOSS_DATA",
            metavar="DIR",
            help="Folder of the embedded PostgreSQL.  [default: ~/.local/share/boss, for root /var/lib/boss]",
        ),
    ] = None,
    max_document: Annotated[
        int,
        typer.Option(envvar="BOSS_MAX_DOCUMENT", metavar="BYTES", min=2, help="Largest document or result."),
    ] = DEFAULT_MAX_DOCUMENT,
    lease: Annotated[
        int,
        typer.Option(
            envvar="BOSS_LEASE",
            metavar="SECONDS",
            min=0,
            max=LONGEST_LEASE,
            help="How long a converter may stay silent before its job goes to another, "
            "when it does not say so itself. 0: for ever.",
        ),
    ] = DEFAULT_LEASE,
    keep_done: Annotated[
        float | None,
        typer.Option(
            envvar="BOSS_KEEP_DONE",
            metavar="DAYS",
            min=0,
            help="Delete jobs that have been done for so many days.  [default: never]",
        ),
    ] = None,
) -> None:
    """Serve until stopped by SIGTERM or Ctrl-C, answering every request under way first."""
    # Here, for the other commands have no need of a server's packages.
    from boss import server

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings(data or _default_data(), database, host, port, max_document, lease, keep_done)
    try:
        server.run(settings)
    except StartError as error:
        _give_up(str(error))


@app.command(epilog="Example: boss prune --older-than 30")
def prune(
    older_than: Annotated[float, typer.Option(metavar="DAYS", min=0, help="Delete what has been done for so long.")],
    url: Annotated[str, typer.Option(envvar="BOSS_URL", help="The Boss to ask.")] = DEFAULT_URL,
) -> None:
    """Delete jobs that were done long ago, in small batches, until there are none left."""
    import httpx

    deleted, more = 0, True
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            while more:
                answer = client.delete("/job/done", params={"older": f"{older_than * 24 * 3600:f}"})
                if answer.status_code != 200:
                    raise _Refused(_reason(answer))
                deleted, more = deleted + answer.json()["deleted"], answer.json()["more"]
    except httpx.ConnectError:
        _give_up(f"cannot reach {url}. Is Boss running there? ({deleted} jobs were deleted)")
    except (httpx.HTTPError, httpx.InvalidURL, _Refused) as error:
        _give_up(f"{url} does not go on: {error} ({deleted} jobs were deleted)")
    typer.echo(f"deleted {deleted}")


def _give_up(sentence: str) -> NoReturn:
    typer.echo(f"boss: {sentence}", err=True)
    raise typer.Exit(1) from None


class _Refused(Exception):
    """The server did not do what it was asked for; the message says why."""


def _reason(answer: "httpx.Response") -> str:
    if answer.headers.get("content-type") == "application/problem+json":
        detail: str = answer.json()["detail"]
        return detail
    return f"it answered {answer.status_code}. Is it a Boss?"
