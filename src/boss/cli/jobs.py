"""The commands that ask a running Boss: submit, take, check, done, give-back, stop, tree, jobs, prune, doctor."""

import json
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boss.cli.application import AsJson, Token, Url, asking, each, give_up, now, print_table
from boss.cli.documents import How, read_document, submit_lines
from boss.health import Verdict
from boss.job import REPORTED_OUTCOMES, Outcome, State
from boss.settings import DEFAULT_URL

if TYPE_CHECKING:
    from rich.text import Text

    from boss.client.verbs import Verbs

# How often a tree that is watched is drawn anew, in seconds.
_WATCH_INTERVAL = 1.0
_COLOURS = {State.AVAILABLE: "bold cyan", State.ACTIVE: "bold yellow", State.DONE: "bold green"}

Source = Annotated[str, typer.Argument(help="The job's source.")]
Id = Annotated[str, typer.Argument(help="The job's id.")]
Attempt = Annotated[
    int | None, typer.Option(min=0, help="Only if the job is still in this attempt, as boss take printed it.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command, example in (
        (submit, "boss submit freg monday document.json --priority 5, boss submit freg all.ndjson --lines"),
        (take, "boss take freg --wait 50"),
        (check, "boss check freg monday --attempt 1"),
        (done, "boss done freg monday '{\"rows\": 7}'"),
        (give_back, "boss give-back freg monday --delay 60"),
        (stop, "boss stop freg monday --reason 'wrong file'"),
        (tree, "boss tree --watch"),
        (jobs, "boss jobs --state active --source freg"),
        (prune, "boss prune --older-than 30"),
        (doctor, "boss doctor"),
    ):
        app.command(command.__name__.replace("_", "-"), epilog=f"Example: {example}")(command)


def submit(
    source: Source,
    url: Url = DEFAULT_URL,
    token: Token = None,
    id: Annotated[str | None, typer.Argument(help="Its id; one is made when it is left out.")] = None,
    file: Annotated[str, typer.Argument(help="Where the document is; - is standard input.")] = "-",
    priority: Annotated[int, typer.Option(help="Higher first.")] = 0,
    delay: Annotated[float | None, typer.Option(metavar="SECONDS", help="Not handed out before.")] = None,
    at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%dT%H:%M:%S%z"], help="Not handed out before, as 2026-11-24T18:30:00+01:00."),
    ] = None,
    attempts: Annotated[int | None, typer.Option(help="How many takes it gets.  [default: the server's]")] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Each line of the file is a job's document (NDJSON).")] = False,
    batch: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the ids of --lines begin with; again, it goes on.")
    ] = None,
) -> None:
    """Submit a job: a JSON object, from a file or standard input. Prints its id.

    With --lines each line is a job's document. Their ids are the batch's name and the line's number, so that the same
    command with the same --batch goes on after whatever broke it off, and submits no line twice.
    """
    if id is not None and file == "-" and (id == "-" or Path(id).is_file()):
        # One word that names a file is the file.
        file, id = id, None
    how: How = {"priority": priority, "delay": delay, "at": at, "attempts": attempts}
    if lines:
        if id is not None:
            give_up("many jobs cannot have one id; --batch NAME is what all their ids begin with", code=2)
        submit_lines(url, token, source, file, batch, how)
        return
    if batch:
        give_up("--batch is for many jobs, with --lines", code=2)
    document = read_document(_read(file), "the document" if file == "-" else file)
    with asking(url, token) as boss:
        typer.echo(now(boss.submit(source, document, id=id, **how)))


def take(
    url: Url = DEFAULT_URL,
    token: Token = None,
    source: Annotated[str | None, typer.Argument(help="Whose; any when it is left out.")] = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for one.")] = 0,
    lease: Annotated[
        int | None, typer.Option(metavar="SECONDS", help="How long Boss waits for a check.  [default: the server's]")
    ] = None,
) -> None:
    """Take a job, and print it with its attempt as one line of JSON. Exits with 3 when there is none.

    It is for you to check it, and to say that it is done.
    """
    with asking(url, token) as boss:
        [(job, text, granted)] = now(boss.hand_out(1, source, wait, lease))
        head = json.dumps({"id": job["id"], "source": job["source"], "attempt": job["attempt"], "lease": granted})
        typer.echo(f'{head[:-1]}, "job": {text}}}')


def check(source: Source, id: Id, url: Url = DEFAULT_URL, token: Token = None, attempt: Attempt = None) -> None:
    """Check on an active job, which keeps it. Exits with 3 when it is not active any more."""
    with asking(url, token) as boss:
        now(boss.check(source, id, attempt))


def done(
    source: Source,
    id: Id,
    url: Url = DEFAULT_URL,
    token: Token = None,
    result: Annotated[
        str | None, typer.Argument(help="A JSON object that is kept with it; - is standard input.")
    ] = None,
    outcome: Annotated[str, typer.Option(help=f"{', '.join(REPORTED_OUTCOMES)}.")] = Outcome.COMPLETED,
    attempt: Attempt = None,
) -> None:
    """Say that a job is done. Exits with 3 when it is not there to be done."""
    kept = _result(result)
    with asking(url, token) as boss:
        now(boss.done(source, id, kept, outcome, attempt))


def give_back(
    source: Source,
    id: Id,
    url: Url = DEFAULT_URL,
    token: Token = None,
    result: Annotated[str | None, typer.Argument(help="A JSON object that says why; - is standard input.")] = None,
    delay: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Its rest.  [default: it grows with each attempt]")
    ] = None,
    attempt: Attempt = None,
) -> None:
    """Give an active job back, for another attempt after a rest."""
    kept = _result(result)
    with asking(url, token) as boss:
        now(boss.give_back(source, id, delay, kept, attempt))


def stop(
    url: Url = DEFAULT_URL,
    token: Token = None,
    source: Annotated[str | None, typer.Argument(help="The job's source.")] = None,
    id: Annotated[str | None, typer.Argument(help="The job's id.")] = None,
    all_of: Annotated[str | None, typer.Option("--source", help="Stop every job of this source.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept with the job.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop a job, or every job of a source. A converter that has it hears of it at its next check."""
    if (all_of is None) == (id is None):
        give_up("say which: boss stop SOURCE ID, or every job of a source with boss stop --source SOURCE", code=2)
    with asking(url, token) as boss:
        if id is not None and source is not None:
            now(boss.done(source, id, None if reason is None else {"reason": reason}, Outcome.STOPPED))
            return
        counts = now(boss.tree())
        open_jobs = sum(counts[state].get(all_of or "", 0) for state in (State.AVAILABLE, State.ACTIVE))
        if open_jobs and not yes:
            typer.confirm(f"Stop {open_jobs:,} jobs of {all_of}?", abort=True)
        typer.echo(f"stopped {now(boss.stop_all(all_of or '', reason)):,}")


def tree(
    url: Url = DEFAULT_URL,
    token: Token = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the tree: every source in every state, with its newest jobs."""
    with asking(url, token) as boss:
        if watch:
            _watch(boss)
        elif as_json:
            _print_json(now(boss.tree()))
        else:
            typer.echo(now(boss.drawn_tree()), nl=False)


def _watch(boss: "Verbs") -> None:
    from rich.live import Live

    with suppress(KeyboardInterrupt), Live(_coloured(now(boss.drawn_tree())), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(_WATCH_INTERVAL)
            live.update(_coloured(now(boss.drawn_tree())), refresh=True)


def _coloured(drawn: str) -> "Text":
    from rich.text import Text

    text = Text(drawn)
    for state, colour in _COLOURS.items():
        text.highlight_regex(rf"(?m)^.── {state}$", colour)
    return text


def jobs(
    url: Url = DEFAULT_URL,
    token: Token = None,
    state: Annotated[str | None, typer.Option(help=f"{', '.join(State)}.")] = None,
    source: Annotated[str | None, typer.Option(help="Only this source's.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs with their history, the newest first."""
    with asking(url, token) as boss:
        found = [job for job, _ in zip(each(boss.jobs(state=state, source=source)), range(limit), strict=False)]
    if as_json:
        for job in found:
            _print_json(job)
        return
    rows = []
    for job in found:
        until = job["finished"] or job["until"] or job["due"] or ""
        attempt, result = f"{job['attempt']}/{job['attempts']}", json.dumps(job["result"]) if job["result"] else ""
        row = (job["state"], job["source"], job["id"], attempt, _second(job["submitted"]), _second(until))
        rows.append((*row, _who(job), job["outcome"] or "", result))
    print_table(("state", "source", "id", "attempt", "submitted", "until", "by", "outcome", "result"), rows)


def _who(job: dict[str, Any]) -> str:
    """Whose tokens submitted, took and finished it; nobody's while none are needed."""
    names = (job["submitted_by"], job["taken_by"], job["finished_by"])
    return " → ".join(name or "-" for name in names) if any(names) else ""


def prune(
    older_than: Annotated[float, typer.Option(metavar="DAYS", min=0, help="Delete what has been done for so long.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Delete jobs that were done long ago, in small batches, until there are none left."""
    deleted, more = 0, True
    try:
        with asking(url, token) as boss:
            while more:
                batch, more = now(boss.prune(older_than * 24 * 3600))
                deleted += batch
    finally:
        typer.echo(f"deleted {deleted}")


_MARKS = {Verdict.WELL: "[green]well[/]", Verdict.WATCH: "[yellow]watch[/]", Verdict.ILL: "[bold red]ill[/]"}


def doctor(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """Examine the database: each line has a verdict, and what to do where it is not well. Exits with 1 then."""
    with asking(url, token) as boss:
        health = now(boss.health())
    if as_json:
        _print_json(health)
    else:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(box=None, header_style="bold", show_header=False)
        for finding in health["findings"]:
            mark = _MARKS[Verdict(finding["verdict"])]
            table.add_row(mark, finding["what"], escape(finding["value"]))
            if finding["advice"]:
                table.add_row("", "", f"[bold]→[/] {escape(finding['advice'])}")
        Console(width=None if sys.stdout.isatty() else 10_000).print(table)
    if health["verdict"] != Verdict.WELL:
        raise typer.Exit(1)


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        give_up(f"cannot read {file}: {error}", code=2)


def _result(word: str | None) -> dict[str, Any] | None:
    """The JSON object that the word is, or that is on standard input when it is -."""
    return None if word is None else read_document(sys.stdin.read() if word == "-" else word, "the result")


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))


def _second(instant: str) -> str:
    """An instant without what is below its second."""
    return instant[:19] + "Z" if instant else ""
