"""The commands about done jobs, and about many: redo, stop, delete."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from boss.cli.application import Token, Url, asking, confirm, give_up, now
from boss.cli.documents import read_document
from boss.cli.exit_codes import USAGE
from boss.cli.filters import OutcomeOption, Reason, Since, Until
from boss.cli.standing import explaining, give_up_on_unknown
from boss.errors import NotThere
from boss.model.job import Outcome, State, jobs_in_words
from boss.settings import DEFAULT_URL

if TYPE_CHECKING:
    from boss.client.verbs import Verbs

JobSource = Annotated[str | None, typer.Argument(help="The job's source.")]
JobId = Annotated[str | None, typer.Argument(help="The job's id.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command, example in (
        (redo, "boss redo freg monday, boss redo --source freg --outcome failed --reason 'disk full'"),
        (stop, "boss stop freg monday --reason 'wrong file', boss stop --source freg --state available"),
        (delete, "boss delete freg monday, boss delete --source freg --until 2026-01-01T00:00:00Z"),
    ):
        app.command(epilog=f"Example: {example}")(command)


def redo(
    url: Url = DEFAULT_URL,
    token: Token = None,
    source: JobSource = None,
    id: JobId = None,
    file: Annotated[
        str | None, typer.Argument(help="The file with its new document; - is standard input.  [default: as it is]")
    ] = None,
    all_of: Annotated[str | None, typer.Option("--source", help="Redo the done jobs of this source.")] = None,
    outcome: OutcomeOption = None,
    since: Since = None,
    until: Until = None,
    reason: Reason = None,
    yes: Yes = False,
) -> None:
    """Make a done job available again, or all done jobs of a source that the options find. Asks before it moves many.

    A job keeps its id and its history, and may have as many more attempts as it was submitted with.
    """
    _check_named("redo", source, id, all_of, _narrow(outcome, since, until, reason))
    with asking(url, token) as boss:
        if all_of is None:
            document = None if file is None else read_document(file)
            with explaining(boss, source or "", id or "", None):
                now(boss.redo(source or "", id or "", document))
            return
        move = partial(boss.redo_many, all_of, outcome=outcome, since=since, until=until, reason=reason)
        _ask_about(boss, "Redo", all_of, yes, now(move(dry_run=True)))
        typer.echo(f"redone {now(move())[0]:,}")


def stop(
    url: Url = DEFAULT_URL,
    token: Token = None,
    source: JobSource = None,
    id: JobId = None,
    all_of: Annotated[str | None, typer.Option("--source", help="Stop every job of this source.")] = None,
    state: Annotated[
        State | None, typer.Option(metavar="available|active", help="With --source: only jobs in this state.")
    ] = None,
    since: Since = None,
    until: Until = None,
    reason: Annotated[str | None, typer.Option(help="The reason, which is kept with the job.")] = None,
    yes: Yes = False,
) -> None:
    """Stop a job, or every job of a source. A converter that works on it learns of it at its next heartbeat."""
    _check_named("stop", source, id, all_of, _narrow(state, since, until))
    if state is State.DONE:
        give_up("done jobs cannot be stopped; --state takes available or active", USAGE)
    with asking(url, token) as boss:
        if id is not None and source is not None:
            try:
                with explaining(boss, source, id, None, always=True):
                    now(boss.done(source, id, None if reason is None else {"reason": reason}, Outcome.STOPPED))
            except NotThere as error:  # when the token may not read the job, Boss's message is about finishing
                raise NotThere(str(error).replace("can be done", "can be stopped"), error.state) from None
            return
        states = [State.AVAILABLE, State.ACTIVE] if state is None else [state]
        moves = [partial(boss.stop_many, all_of or "", each, reason, since=since, until=until) for each in states]
        counted = [now(move(dry_run=True)) for move in moves]
        _ask_about(
            boss, "Stop", all_of or "", yes, (sum(jobs for jobs, _ in counted), any(more for _, more in counted))
        )
        if not _narrow(state, since, until):
            stopped = now(boss.stop_all(all_of or "", reason))
        else:
            stopped = sum(now(move())[0] for move in moves)
        typer.echo(f"stopped {stopped:,}")


def delete(
    url: Url = DEFAULT_URL,
    token: Token = None,
    source: JobSource = None,
    id: JobId = None,
    all_of: Annotated[str | None, typer.Option("--source", help="Delete the done jobs of this source.")] = None,
    outcome: OutcomeOption = None,
    since: Since = None,
    until: Until = None,
    reason: Reason = None,
    yes: Yes = False,
) -> None:
    """Delete a done job, or all done jobs of a source that the options find. Asks for confirmation first.

    The audit log says that it was done, and has nothing of what was deleted.
    """
    _check_named("delete", source, id, all_of, _narrow(outcome, since, until, reason))
    with asking(url, token) as boss:
        if all_of is None:
            if not yes:
                confirm(f"Delete {id} of {source}?")
            with explaining(boss, source or "", id or "", None):
                now(boss.delete(source or "", id or ""))
            return
        move = partial(boss.delete_many, all_of, outcome=outcome, since=since, until=until, reason=reason)
        _ask_about(boss, "Delete", all_of, yes, now(move(dry_run=True)))
        typer.echo(f"deleted {now(move())[0]:,}")


def _narrow(*options: object) -> bool:
    return any(each is not None for each in options)


def _check_named(command: str, source: str | None, id: str | None, all_of: str | None, is_narrow: bool) -> None:
    if (all_of is None) == (id is None) or (all_of is not None and source is not None):
        every = "every job of a source" if command == "stop" else "the done jobs of a source"
        give_up(f"say which: boss {command} SOURCE ID, or {every} with boss {command} --source SOURCE", USAGE)
    if id is not None and is_narrow:
        give_up(f"the options that choose jobs are for many: boss {command} --source SOURCE", USAGE)


def _ask_about(boss: "Verbs", what: str, source: str, yes: bool, counted: tuple[int, bool]) -> None:
    """Ask whether to go on, with the number of jobs; none needs no question."""
    jobs, more = counted
    if not jobs and not more:
        give_up_on_unknown(boss, source)
    elif not yes:
        many = jobs_in_words(jobs)
        if more:
            many = f"more than {many}" if jobs else "jobs that are still being looked for"
        confirm(f"{what} {many} of {source}?")
