"""`boss migrate`."""

from pathlib import Path

import typer

from boss.cli.application import give_up
from boss.cli.database import database_url
from boss.cli.exit_codes import USAGE, code_of
from boss.cli.settings import take_settings
from boss.errors import StartError


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    epilog = "Example: BOSS_DATABASE=postgresql://owner:password@host/boss boss migrate"
    app.command(epilog=epilog)(take_settings(migrate, ["database", "database_file"]))


def migrate(*, database: str | None, database_file: Path | None) -> None:
    """Migrate a database to the schema that this version requires, as a user who owns the database.

    The user of boss serve then does not need to own it.

    Boss can go on serving meanwhile, also in its previous version. boss serve migrates as well when it starts.
    """
    # Imported here, because the other commands do not need the server's packages.
    import asyncio

    try:
        from boss.main import migrate_only
        from boss.telemetry import logging
    except ModuleNotFoundError as error:
        give_up(f"the package {error.name} is not installed; boss migrate needs boss-dispatcher[server]")

    url = database_url(database, database_file)
    if url is None:
        give_up("say which database: BOSS_DATABASE, --database-file or --database", USAGE)
    logging.configure(quiet=True)
    try:
        applied = asyncio.run(migrate_only(url))
    except StartError as error:
        give_up(str(error), code_of(error))
    typer.echo(f"migrated: {', '.join(applied)}" if applied else "there was nothing to migrate")
