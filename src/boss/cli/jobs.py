"""The commands about one job, or a file of them: submit, take, check, note, done, give-back, change."""

import json
from datetime import datetime
from typing import Annotated, Any, TypedDict

import typer
from typer.core import TyperCommand

from boss.cli.application import Token, Url, asking, give_up, in_one_line, now, print_json, wait_until_done
from boss.cli.documents import chosen_file, read_document, read_note, read_result
from boss.cli.exit_codes import USAGE
from boss.cli.lines import How, submit_lines
from boss.cli.output import CannotWrite
from boss.cli.standing import explaining, why_none
from boss.cli.values import TIME
from boss.errors import NoJob
from boss.model.job import REPORTED_OUTCOMES, Outcome, State
from boss.settings import DEFAULT_URL

Source = Annotated[str, typer.Argument(help="The job's source.")]
Id = Annotated[str, typer.Argument(help="The job's id.")]
Delay = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Do not hand it out before so many seconds have passed.")
]
At = Annotated[
    datetime | None,
    typer.Option(
        metavar="TIME", formats=[TIME], help="Do not hand it out before this time, such as 2026-11-24T18:30:00+01:00."
    ),
]
Timeout = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="SECONDS", help="End an attempt after so many seconds, even if its converter sends heartbeats."
    ),
]
Expires = Annotated[
    int | None,
    typer.Option(min=1, metavar="SECONDS", help="Abandon the job if nobody has taken it after so many seconds."),
]
Attempt = Annotated[
    int | None, typer.Option(min=0, help="Only if the job is still in this attempt, as boss take printed it.")
]


class ChangeOptions(TypedDict):
    """The options of a change; see `Client.change`."""

    priority: int | None
    delay: float | None
    at: datetime | None
    timeout: int | None
    expires: int | None


class _Submit(TyperCommand):
    """Shows in its usage that many jobs need no id."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words after `boss submit`."""
        return [*super().collect_usage_pieces(ctx), "| {source} [file] --lines"]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command, example in (
        (submit, "boss submit freg monday document.json --priority 5, boss submit freg all.ndjson --lines"),
        (take, "boss take freg --wait 50"),
        (check, "boss check freg monday --attempt 1"),
        (note, "boss note freg monday '{\"page\": 3}' --attempt 1"),
        (done, "boss done freg monday '{\"rows\": 7}'"),
        (give_back, "boss give-back freg monday --delay 60"),
        (change, "boss change freg monday --priority 5 --delay 0"),
    ):
        kind = _Submit if command is submit else None
        app.command(command.__name__.replace("_", "-"), cls=kind, epilog=f"Example: {example}")(command)


def submit(
    source: Source,
    url: Url = DEFAULT_URL,
    token: Token = None,
    id: Annotated[str | None, typer.Argument(help="The job's id; generated when left out.")] = None,
    file: Annotated[
        str | None, typer.Argument(help="The file with the document.  [default: -, standard input]")
    ] = None,
    priority: Annotated[int, typer.Option(help="Jobs with a higher priority are handed out first.")] = 0,
    delay: Delay = None,
    at: At = None,
    attempts: Annotated[
        int | None, typer.Option(help="The most attempts of the job.  [default: its source's, or 25]")
    ] = None,
    timeout: Timeout = None,
    expires: Expires = None,
    after: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Hand it out once that job is completed, and stop it if that ends otherwise. Repeat it for several, "
            "or name them with commas. Not with --delay or --at.",
        ),
    ] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Each line of the file is a job's document (NDJSON).")] = False,
    batch: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The beginning of the ids of --lines; use it again to continue."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job is done, and print its result.")] = False,
) -> None:
    """Submit a job: a JSON object, from a file or standard input. Prints its id.

    With --wait it exits with 1 when the job fails, is stopped or is abandoned.

    With --lines each line is a job's document. An id is then the batch's name and the line's number. So after any
    interruption the same command with the same --batch continues, and submits no line twice.
    """
    id, file = chosen_file(source, id, file)
    how: How = {
        "priority": priority,
        "delay": delay,
        "at": at,
        "attempts": attempts,
        "timeout": timeout,
        "expires": expires,
        "after": after or (),
    }
    if lines:
        if id is not None:
            give_up("many jobs cannot have one id; --batch NAME is what all their ids begin with", USAGE)
        if wait:
            give_up("--wait is for one job; boss show ID --wait waits for each of many", USAGE)
        submit_lines(url, token, source, file, batch, how)
        return
    if batch:
        give_up("--batch is for many jobs, with --lines", USAGE)
    document = read_document(file)
    with asking(url, token) as boss:
        made = now(boss.submit(source, document, id=id, **how))
        try:
            typer.echo(made)
        except CannotWrite as error:
            give_up(f"{error}; the job is submitted, as {made}")
    if wait:
        from boss.client.verbs import ended

        wait_until_done(url, token, made)
        with asking(url, token) as boss:
            job = now(boss.find(made))
        if job["result"] is not None:
            print_json(job["result"])
        if job["outcome"] != Outcome.COMPLETED:
            give_up(in_one_line(ended(job)))


def take(
    url: Url = DEFAULT_URL,
    token: Token = None,
    source: Annotated[str | None, typer.Argument(help="The source to take from; any when left out.")] = None,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for a job.")] = 0,
    lease: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS",
            help="How long Boss keeps the job for you without a heartbeat.  [default: its source's, or the server's]",
        ),
    ] = None,
) -> None:
    """Take a job, and print it with its attempt as one line of JSON. Exits with 3 when there is none.

    It has the note of the attempt before, if that left one. You must send its heartbeat with boss check, and finish it
    with boss done.
    """
    with asking(url, token) as boss:
        try:
            [(job, text, granted, noted)] = now(boss.hand_out(1, source, wait, lease))
        except NoJob as error:
            raise NoJob("; ".join([str(error), *why_none(boss, (source or "").split(","))])) from None
        head = json.dumps({"id": job["id"], "source": job["source"], "attempt": job["attempt"], "lease": granted})
        try:
            left = f', "note": {noted}' if noted else ""
            typer.echo(f'{head[:-1]}{left}, "job": {text}}}')
        except CannotWrite as error:
            # The job was not printed, so nobody would work on it.
            now(boss.give_back(job["source"], job["id"], attempt=job["attempt"], uncounted=True))
            give_up(f"{error}; {job['id']} is given back")


def check(source: Source, id: Id, url: Url = DEFAULT_URL, token: Token = None, attempt: Attempt = None) -> None:
    """Send the heartbeat of an active job, which renews its lease. Exits with 3 when it is not active any more."""
    with asking(url, token) as boss, explaining(boss, source, id, attempt, always=True):
        now(boss.check(source, id, attempt))


def note(
    source: Source,
    id: Id,
    note: Annotated[str, typer.Argument(help="The note, a JSON object of at most 64 KiB; - is standard input.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    attempt: Attempt = None,
) -> None:
    """Leave a note with an active job, for its next attempt, and renew its lease. It replaces the note before.

    Exits with 3 when the job is not active any more.
    """
    kept = read_note(note)
    with asking(url, token) as boss, explaining(boss, source, id, attempt):
        now(boss.leave_note(source, id, kept, attempt))


def done(
    source: Source,
    id: Id,
    url: Url = DEFAULT_URL,
    token: Token = None,
    result: Annotated[
        str | None, typer.Argument(help="The result, a JSON object that is kept with the job; - is standard input.")
    ] = None,
    outcome: Annotated[
        str, typer.Option(metavar="|".join(REPORTED_OUTCOMES), help="How the job ended.")
    ] = Outcome.COMPLETED,
    attempt: Attempt = None,
) -> None:
    """Finish a job. Exits with 3 when it is neither available nor active."""
    if outcome not in REPORTED_OUTCOMES:
        give_up(f"the outcome is {outcome!a}; it takes {', '.join(REPORTED_OUTCOMES)}", USAGE)
    kept = None if result is None else read_result(result)
    with asking(url, token) as boss, explaining(boss, source, id, attempt):
        now(boss.done(source, id, kept, outcome, attempt))


def give_back(
    source: Source,
    id: Id,
    url: Url = DEFAULT_URL,
    token: Token = None,
    result: Annotated[str | None, typer.Argument(help="A JSON object that says why; - is standard input.")] = None,
    delay: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="How long until the next attempt.  [default: it grows with each attempt]"),
    ] = None,
    attempt: Attempt = None,
    uncounted: Annotated[
        bool, typer.Option("--uncounted", help="Do not count this attempt; the job is available again at once.")
    ] = False,
) -> None:
    """Give an active job back, for another attempt after a delay. After its last attempt it is done, failed."""
    kept = None if result is None else read_result(result)
    with asking(url, token) as boss, explaining(boss, source, id, attempt):
        if now(boss.give_back(source, id, delay, kept, attempt, uncounted)) is State.DONE:
            typer.echo(f"boss: that was the last attempt of {id}: it is done, failed", err=True)


def change(
    source: Source,
    id: Id,
    url: Url = DEFAULT_URL,
    token: Token = None,
    file: Annotated[
        str | None, typer.Argument(help="The file with its new document; - is standard input.  [default: as it is]")
    ] = None,
    priority: Annotated[int | None, typer.Option(help="Its new priority.")] = None,
    delay: Delay = None,
    at: At = None,
    timeout: Timeout = None,
    expires: Expires = None,
    attempt: Attempt = None,
) -> None:
    """Change an available job: its document, its priority, its times. The rest stays as it is."""
    how: ChangeOptions = {"priority": priority, "delay": delay, "at": at, "timeout": timeout, "expires": expires}
    if file is None and all(value is None for value in how.values()):
        give_up(f"say what to change: a file with the new document, or one of --{', --'.join(how)}", USAGE)
    document = None if file is None else read_document(file)
    with asking(url, token) as boss:
        now(boss.change(source, id, document, **how, attempt=attempt))
