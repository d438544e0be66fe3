"""`boss work`: a command as a converter."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from boss.cli.application import Token, Url, asking, give_up, in_line
from boss.cli.exit_codes import USAGE, code_of
from boss.cli.standing import known_sources, unknown
from boss.errors import BossError
from boss.settings import DEFAULT_URL

if TYPE_CHECKING:
    from rich.table import Table

    from boss.client.converter import Converter, Slot
    from boss.client.job import AsyncJob, JobEnd

# How long to wait for the first job before a line says what is waited for.
_MOMENT_S = 2.0


class _Work(TyperCommand):
    """Shows in its usage the command after `--`, which is not one of its own arguments."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words after `boss work`."""
        return [*super().collect_usage_pieces(ctx), "-- COMMAND [ARGUMENT]..."]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(cls=_Work, epilog="Example: boss work freg -- ./convert.sh")(work)


def work(
    context: typer.Context,
    url: Url = DEFAULT_URL,
    token: Token = None,
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE", help="The sources to take jobs from; any if none is named."),
    ] = None,
    slots: Annotated[int, typer.Option("-j", "--slots", min=1, metavar="N", help="How many jobs at once.")] = 1,
    lease: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How long Boss waits for a heartbeat.  [default: its source's, or the server's]",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="SECONDS", help="How long an attempt may take.  [default: for ever]"),
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long a command has to end when it is told to.")
    ] = 10,
    once: Annotated[
        bool, typer.Option("--once", help="End after one job in each slot, with exit code 1 if one was not done.")
    ] = False,
    until_empty: Annotated[
        bool,
        typer.Option("--until-empty", help="End when no job is ready, or a limit or a rate lets none be taken now."),
    ] = False,
) -> None:
    """Run a command for each job. It gets the document on its standard input.

    With exit code 0 the job is done, and its result is the last line that the command printed, if that is a JSON
    object. Exit code 99 gives the job up for good. Any other gives it back for another attempt after a delay, and the
    end of standard error is kept as the reason. BOSS_JOB_ID, BOSS_SOURCE, BOSS_ATTEMPT and BOSS_URL are in the
    command's environment, and so is BOSS_NOTE, if the attempt before has left a note with boss note.

    Each job's heartbeat is sent at a third of its lease. When the job was stopped, or takes longer than the timeout,
    the command and the processes that it started get SIGTERM, and after the grace SIGKILL. A timeout counts as a failed
    attempt.

    On SIGTERM or Ctrl-C no more jobs are taken. Running commands have the grace to end. Then they get SIGTERM, and
    after the grace SIGKILL. Their jobs are given back, and the attempts do not count. The exit code is 0. A second
    signal ends everything at once, with exit code 128 plus its number.
    """
    command: list[str] = context.obj or []
    if not command:
        give_up("say what to run for each job, after --: boss work freg -- ./convert.sh", USAGE)
    if not shutil.which(command[0]):
        give_up(_not_runnable(command[0]), USAGE)
    # Imported here, because it is slow to import and other commands need none of it.
    import logging

    from boss.client.command import CommandConverter
    from boss.client.converter import Converter, log_end
    from boss.client.job import JobEnd

    shown = sys.stderr.isatty()
    converter = Converter(
        CommandConverter(command, url, grace),
        sources or (),
        url=url,
        token=token,
        slots=slots,
        lease=lease,
        timeout=timeout,
        grace=grace,
        once=once,
        until_empty=until_empty,
        tell=_say_nothing if shown else log_end,
    )
    try:
        with _on_screen(converter) if shown else _in_lines(), _waits_told(converter, url, token, sources or []):
            converter.run()
    except BossError as error:
        give_up(in_line(str(error)), code_of(error))
    logging.getLogger("boss").info("%s", _counted(converter.ends) or "there was nothing to do")
    if until_empty and sources and not sum(converter.ends.values()):
        for sentence in _unknown(url, token, sources):
            typer.echo(f"boss: {sentence}", err=True)
    if once and converter.ends[JobEnd.DONE] < sum(converter.ends.values()):
        raise typer.Exit(1)


@contextmanager
def _waits_told(converter: "Converter", url: str, token: str | None, sources: list[str]) -> Iterator[None]:
    """After a moment without a job, log what the converter waits for. A source may be misspelt."""
    import logging
    from threading import Timer

    def tell() -> None:
        if any(slot.job for slot in converter.slots) or any(converter.ends.values()):
            return
        log = logging.getLogger("boss")
        log.info("waiting for jobs of %s", ", ".join(sources) or "any source")
        with suppress(typer.Exit):
            for sentence in _unknown(url, token, sources):
                log.warning("%s", sentence)

    timer = Timer(_MOMENT_S, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _unknown(url: str, token: str | None, sources: list[str]) -> list[str]:
    """A sentence for each source that has never had a job, as far as the token may know."""
    with asking(url, token) as boss:
        known = known_sources(boss)
    return [] if known is None else [unknown(source, known) for source in sources if source not in known]


def _not_runnable(word: str) -> str:
    """Why the command cannot be run."""
    path = Path(word)
    if path.is_dir():
        return f"{word} is a folder, not a program"
    if path.is_file() and not os.access(path, os.X_OK):
        return f"{word} is not executable: chmod +x {word}"
    meant = f"; did you mean ./{word}?" if path.is_file() else ""
    return f"there is no program {word!a} to run{meant}"


@contextmanager
def _in_lines() -> Iterator[None]:
    """Log lines, when standard error is not a terminal."""
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    yield


@contextmanager
def _on_screen(converter: "Converter") -> Iterator[None]:
    """Show on a terminal what each slot is doing and for how long, below the log lines."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with Live(get_renderable=lambda: _slots(converter), console=console, refresh_per_second=4), _in_lines():
        yield


def _slots(converter: "Converter") -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", caption=_counted(converter.ends), caption_justify="left")
    for heading in ("slot", "source", "job", "attempt", "for"):
        table.add_column(heading)
    for slot in converter.slots:
        job = (slot.job.source, slot.job.id, str(slot.job.attempt)) if slot.job else ("", "waits for a job", "")
        table.add_row(str(slot.number), *job, f"{time.monotonic() - slot.since:.0f} s")
    return table


def _counted(ends: "dict[JobEnd, int]") -> str:
    return ", ".join(f"{count:,} {end}" for end, count in ends.items() if count)


def _say_nothing(slot: "Slot", job: "AsyncJob", error: Exception | None) -> None:
    """Log nothing: the screen shows the end of each job."""
