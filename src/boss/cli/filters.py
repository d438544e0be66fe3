"""The options that say which jobs a command is about."""

from datetime import datetime
from typing import Annotated

import typer

from boss.cli.values import TIME
from boss.model.job import Outcome

OutcomeOption = Annotated[
    Outcome | None, typer.Option("--outcome", help="Only done jobs with this outcome; others have none.")
]
Since = Annotated[
    datetime | None,
    typer.Option(metavar="TIME", formats=[TIME], help="Only jobs finished, or else submitted, at this time or later."),
]
Until = Annotated[
    datetime | None,
    typer.Option(metavar="TIME", formats=[TIME], help="Only jobs finished, or else submitted, before this time."),
]
Reason = Annotated[
    str | None,
    typer.Option(metavar="WORDS", help="Only done jobs with these words in the reason, in any case."),
]
