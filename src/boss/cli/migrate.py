"""`boss migrate`."""

import typer

from boss.cli.application import give_up
from boss.cli.database import Database, DatabaseFile, database_url
from boss.cli.exit_codes import USAGE, code_of
from boss.errors import StartError


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: BOSS_DATABASE=postgresql://owner:password@host/boss boss migrate")(migrate)


def migrate(database: Database = None, database_file: DatabaseFile = None) -> None:
    """Bring a database to the schema this Boss requires, as a user who owns it.

    The user of boss serve then needs no such right.

    Boss serves meanwhile, the version before this one as well. boss serve does the same when it starts.
    """
    # Here, for the other commands have no need of a server's packages.
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
