"""`boss serve`."""

import os
from pathlib import Path
from typing import Any

import typer

from boss.cli.application import give_up
from boss.cli.database import database_url
from boss.cli.exit_codes import USAGE, code_of
from boss.cli.settings import take_settings
from boss.errors import StartError
from boss.settings import Settings


def add_to(app: typer.Typer) -> None:
    """Add the command, with a flag for each setting."""
    app.command(epilog="Example: boss serve --port 9000 --data ./data")(take_settings(serve))


def _default_data() -> Path:
    """/var/lib/boss for root, else ~/.local/share/boss (XDG Base Directory Specification)."""
    if os.geteuid() == 0:
        return Path("/var/lib/boss")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "boss"


def serve(**asked: Any) -> None:
    """Serve until SIGTERM or Ctrl-C. Then answer the requests under way, and end.

    Without --database it starts a PostgreSQL of its own, with its data in the folder --data.
    """
    # Imported here, because the other commands do not need the server's packages.
    try:
        from boss.main import run
        from boss.telemetry import logging
    except ModuleNotFoundError as error:
        give_up(f"the package {error.name} is not installed; boss serve needs boss-dispatcher[server,embedded]")

    logging.configure(asked["quiet"])
    if (asked["tls_cert"] is None) != (asked["tls_key"] is None):
        give_up("--tls-cert and --tls-key must be given together", USAGE)
    asked["database"] = database_url(asked["database"], asked["database_file"])
    asked["data"] = asked["data"] or _default_data()
    try:
        run(Settings(**asked))
    except StartError as error:
        give_up(str(error), code_of(error))
