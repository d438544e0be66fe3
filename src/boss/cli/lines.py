"""Submit many documents from a file, one a line."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypedDict

import typer

from boss.cli.application import client, give_up
from boss.cli.documents import object_line
from boss.cli.exit_codes import USAGE
from boss.errors import BadInput
from boss.model.job import JobLine, check_new_id

if TYPE_CHECKING:
    from rich.progress import Progress

# For how long to retry when Boss goes away in the middle, in seconds.
_PATIENCE_S = 30


class How(TypedDict):
    """The options for all lines; see `Client.submit_lines`."""

    priority: int
    delay: float | None
    at: datetime | None
    attempts: int | None
    timeout: int | None
    expires: int | None
    after: Sequence[str]


def submit_lines(url: str, token: str | None, source: str, file: str, batch: str | None, how: How) -> None:
    """Submit each line of a file as a job, with a progress bar on a terminal; print how many were new, and the ids."""
    # Imported here, because it is slow to import and other commands need none of it.
    from boss.model.ids import new_id

    batch = batch or new_id()
    name = "standard input" if file == "-" else file
    try:
        check_new_id(_id(batch, 1))
    except BadInput as error:
        give_up(f"--batch {batch} cannot begin an id: {error}", USAGE)
    sent = new = 0
    try:
        with _opened(file) as stream, _progress(stream) as progress, client(url, token, _PATIENCE_S) as boss:
            [task] = progress.task_ids
            try:
                for lines, new_lines in boss.submit_lines(source, _lines(stream, name, batch), **how):
                    sent += lines
                    new += new_lines
                    progress.update(task, completed=stream.tell() if stream.seekable() else 0, lines=sent)
            except BadInput as error:
                give_up(f"{error} (counted from line {sent + 1:,} of {name})", USAGE)
    except (typer.Exit, KeyboardInterrupt):
        if sent:
            typer.echo(f"boss: {sent:,} lines are submitted; with --batch {batch} the same command goes on", err=True)
        raise
    there = f", {sent - new:,} were there already" if sent > new else ""
    typer.echo(f"submitted {new:,}{there}; the ids are {_id(batch, 1)} to {_id(batch, max(sent, 1))}")


def _id(batch: str, number: int) -> str:
    # Leading zeros, so that lists, which are sorted by id, have the jobs in the order of the lines.
    return f"{batch}-{number:09}"


def _lines(stream: BinaryIO, name: str, batch: str) -> Iterator[JobLine]:
    number = 0
    # Not by iterating over the stream, which would disable tell(), and so the progress bar.
    while line := stream.readline():
        number += 1
        yield JobLine(_id(batch, number), object_line(line, f"line {number:,} of {name}"))


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115 (an error inside the body is not one of opening)
    except OSError as error:
        give_up(f"cannot read {file}: {error.strerror or error}", USAGE)
    with stream:
        yield stream


@contextmanager
def _progress(stream: BinaryIO) -> Iterator["Progress"]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.fields[lines]:,} submitted"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        size = os.fstat(stream.fileno()).st_size if stream.seekable() else None
        progress.add_task("submitting", total=size, lines=0)
        yield progress
