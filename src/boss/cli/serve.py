"""`boss serve`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from boss.cli.application import give_up
from boss.cli.database import Database, DatabaseFile, database_url
from boss.cli.exit_codes import USAGE, code_of
from boss.errors import StartError
from boss.model.job import DEFAULT_LEASE, LONGEST_LEASE, MOST_TEXT
from boss.settings import (
    DEFAULT_BODY_TIMEOUT,
    DEFAULT_HEADER_TIMEOUT,
    DEFAULT_HOST,
    DEFAULT_MAX_CONNECTIONS,
    DEFAULT_MAX_DOCUMENT,
    DEFAULT_MAX_HEADERS,
    DEFAULT_MAX_MEMORY,
    DEFAULT_MAX_QUEUE,
    DEFAULT_MAX_WAITING,
    DEFAULT_PORT,
    DEFAULT_RATE,
    Settings,
)


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
    database: Database = None,
    database_file: DatabaseFile = None,
    data: Annotated[
        Path | None,
        typer.Option(
            envvar="BOSS_DATA",
            metavar="DIR",
            help="Without a database: the folder of the embedded PostgreSQL, where all the data is.  "
            "[default: ~/.local/share/boss, for root /var/lib/boss]",
        ),
    ] = None,
    max_document: Annotated[
        int,
        typer.Option(
            envvar="BOSS_MAX_DOCUMENT", metavar="BYTES", min=2, max=MOST_TEXT, help="Largest document or result."
        ),
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
    open_to_all: Annotated[
        bool,
        typer.Option(
            "--open", envvar="BOSS_OPEN", help="Serve other machines, too, while there are no tokens: EVERYBODY."
        ),
    ] = False,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            envvar="BOSS_TLS_CERT", metavar="FILE", exists=True, dir_okay=False, help="Certificate chain, PEM: HTTPS."
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(envvar="BOSS_TLS_KEY", metavar="FILE", exists=True, dir_okay=False, help="Its key, PEM."),
    ] = None,
    max_headers: Annotated[
        int,
        typer.Option(envvar="BOSS_MAX_HEADERS", metavar="BYTES", min=8192, help="Largest request line and headers."),
    ] = DEFAULT_MAX_HEADERS,
    max_connections: Annotated[
        int,
        typer.Option(
            envvar="BOSS_MAX_CONNECTIONS",
            min=1,
            help="Connections at once. For one more, the one that has been idle for longest is closed.",
        ),
    ] = DEFAULT_MAX_CONNECTIONS,
    max_memory: Annotated[
        int,
        typer.Option(
            envvar="BOSS_MAX_MEMORY",
            metavar="BYTES",
            min=1024 * 1024,
            help="Memory for the bodies of requests being read and the responses being sent.",
        ),
    ] = DEFAULT_MAX_MEMORY,
    max_waiting: Annotated[
        int, typer.Option(envvar="BOSS_MAX_WAITING", min=0, help="Takers that wait at once.")
    ] = DEFAULT_MAX_WAITING,
    max_queue: Annotated[
        int, typer.Option(envvar="BOSS_MAX_QUEUE", min=1, help="Available jobs of a source.")
    ] = DEFAULT_MAX_QUEUE,
    rate: Annotated[
        int, typer.Option(envvar="BOSS_RATE", min=0, help="Requests a second with one token, on this replica. 0: any.")
    ] = DEFAULT_RATE,
    header_timeout: Annotated[
        float,
        typer.Option(
            envvar="BOSS_HEADER_TIMEOUT",
            metavar="SECONDS",
            min=1,
            help="For a request's headers, and between requests; for the first byte at most 30.",
        ),
    ] = DEFAULT_HEADER_TIMEOUT,
    body_timeout: Annotated[
        float, typer.Option(envvar="BOSS_BODY_TIMEOUT", metavar="SECONDS", min=1, help="For a request's body.")
    ] = DEFAULT_BODY_TIMEOUT,
    workers: Annotated[
        int,
        typer.Option(envvar="BOSS_WORKERS", min=1, max=64, help="Processes that serve; on one port, under one parent."),
    ] = 1,
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
    """Serve until stopped by SIGTERM or Ctrl-C, answering every request under way first.

    Without --database it starts a PostgreSQL of its own, with its data in the folder --data.
    """
    # Here, for the other commands have no need of a server's packages.
    try:
        from boss import main
        from boss.telemetry import logging
    except ModuleNotFoundError as error:
        give_up(f"the package {error.name} is not installed; boss serve needs pip install 'boss[server,embedded]'")

    logging.configure(quiet)
    if (tls_cert is None) != (tls_key is None):
        give_up("--tls-cert and --tls-key are needed both, or neither", USAGE)
    settings = Settings(
        data=data or _default_data(),
        database=database_url(database, database_file),
        host=host,
        port=port,
        max_document=max_document,
        lease=lease,
        keep_done=keep_done,
        open=open_to_all,
        tls_cert=tls_cert,
        tls_key=tls_key,
        max_headers=max_headers,
        max_connections=max_connections,
        max_memory=max_memory,
        max_waiting=max_waiting,
        max_queue=max_queue,
        rate=rate,
        header_timeout=header_timeout,
        body_timeout=body_timeout,
        workers=workers,
    )
    try:
        main.run(settings, quiet)
    except StartError as error:
        give_up(str(error), code_of(error))
