"""`boss prune`."""

from typing import Annotated

import typer

from boss.cli.application import Token, Url, asking, confirm, now
from boss.cli.exit_codes import OK
from boss.model.job import jobs_in_words
from boss.settings import DEFAULT_URL

_DAY = 24 * 3600
# The most that the server accepts: ten years.
_MOST_DAYS = 3660


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: boss prune --older-than 30 --dry-run")(prune)


def prune(
    older_than: Annotated[
        float,
        typer.Option(metavar="DAYS", min=0, max=_MOST_DAYS, help="Delete jobs that have been done for so many days."),
    ],
    url: Url = DEFAULT_URL,
    token: Token = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the jobs; delete none.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete jobs that were done long ago, in small batches, until none are left. Asks for confirmation first."""
    with asking(url, token) as boss:
        if dry_run or not yes:
            jobs, more = now(boss.prunable(older_than * _DAY))
            counted = f"more than {jobs:,}" if more else f"{jobs:,}"
            if dry_run:
                typer.echo(f"would delete {counted}")
                raise typer.Exit(OK)
            if jobs:
                many = f"more than {jobs_in_words(jobs)}" if more else jobs_in_words(jobs)
                confirm(f"Delete {many} done more than {older_than:g} days ago?")
        deleted, more = 0, True
        try:
            while more:
                batch, more = now(boss.prune(older_than * _DAY))
                deleted += batch
        finally:
            # Report the deleted jobs even when an error or Ctrl-C interrupts this.
            if deleted or not more:
                typer.echo(f"deleted {deleted:,}")
