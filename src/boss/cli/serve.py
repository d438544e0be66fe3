"""`boss serve`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from boss.cli.application import give_up
from boss.errors import StartError
from boss.job import DEFAULT_LEASE, LONGEST_LEASE
from boss.settings import DEFAULT_HOST, DEFAULT_MAX_DOCUMENT, DEFAULT_PORT, Settings


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: boss serve --port 9000 --data ./data")(serve)


def _default_data() -> Path:
    """/var/lib/boss for root, else ~/.local/share/boss (XDG Base Directory Specification)."""
    if os.geteuid() == 0:
        return Path("/var/lib/boss")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "boss"


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
    quiet: Annotated[
        bool, typer.Option("--quiet", envvar="BOSS_QUIET", help="Do not log a line for each move of a job.")
    ] = False,
) -> None:
    """Serve until stopped by SIGTERM or Ctrl-C, answering every request under way first."""
    # Here, for the other commands have no need of a server's packages.
    try:
        from boss import logs, server
    except ModuleNotFoundError as error:
        give_up(f"the package {error.name} is not installed; boss serve needs pip install 'boss[server,embedded]'")

    logs.configure(quiet)
    settings = Settings(data or _default_data(), database, host, port, max_document, lease, keep_done)
    try:
        server.run(settings)
    except StartError as error:
        give_up(str(error))
