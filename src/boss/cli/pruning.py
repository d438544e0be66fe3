"""`boss prune`."""

from typing import Annotated

import typer

from boss.cli.application import Token, Url, asking, confirm, jobs_in_words, now
from boss.cli.exit_codes import OK
from boss.settings import DEFAULT_URL

_DAY = 24 * 3600
# Boss takes no more: ten years.
_MOST_DAYS = 3660


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: boss prune --older-than 30 --dry-run")(prune)


def prune(
    older_than: Annotated[
        float, typer.Option(metavar="DAYS", min=0, max=_MOST_DAYS, help="Delete what has been done for so many days.")
    ],
    url: Url = DEFAULT_URL,
    token: Token = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many there are, and delete none.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete jobs that were done long ago, in small batches, until there are none left. It asks first."""
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
            # What is gone is gone, also when something broke it off.
            if deleted or not more:
                typer.echo(f"deleted {deleted:,}")
