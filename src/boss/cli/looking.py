"""The commands that only read: tree, jobs, show, converters, doctor."""

import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from heapq import nlargest
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boss.cli.application import (
    AsJson,
    Token,
    Url,
    asking,
    each,
    in_lines,
    now,
    print_json,
    print_json_lines,
    print_table,
    printable,
    wait_until_done,
)
from boss.cli.exit_codes import FAILED
from boss.cli.filters import OutcomeOption, Reason, Since, Until
from boss.cli.listing import print_jobs
from boss.cli.standing import give_up_on_unknown
from boss.cli.times import ago, second
from boss.client.json_text import exact
from boss.model.diagnosis import Verdict
from boss.model.job import State
from boss.settings import DEFAULT_URL

if TYPE_CHECKING:
    from rich.text import Text

    from boss.client.verbs import Verbs

# How often `boss tree --watch` draws the tree anew, in seconds.
_WATCH_INTERVAL = 1.0
# The most jobs that are read to sort them by time. Over HTTP they come sorted by id.
_MOST_SORTED = 1000
# How wide the names of properties are in `boss show`.
_NAME_WIDTH = 10
_COLOURS = {State.AVAILABLE: "bold cyan", State.ACTIVE: "bold yellow", State.DONE: "bold green"}
_MARKS = {Verdict.WELL: "[green]well[/]", Verdict.WATCH: "[yellow]watch[/]", Verdict.ILL: "[bold red]ill[/]"}


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: boss tree --watch")(tree)
    app.command(
        epilog="Example: boss jobs --source freg --outcome failed --reason 'disk full' --since 2026-11-24T00:00:00Z"
    )(jobs)
    app.command(epilog="Example: boss show monday")(show)
    app.command(epilog="Example: boss converters")(converters)
    app.command(epilog="Example: boss doctor")(doctor)


def tree(
    url: Url = DEFAULT_URL,
    token: Token = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep showing it until Ctrl-C, which ends it with exit code 0.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the tree: every source in every state, with the greatest ids of its jobs there.

    For generated ids, which begin with the time, these are the newest jobs.
    """
    with asking(url, token) as boss:
        if watch:
            _watch(boss)
        elif as_json:
            print_json(now(boss.tree()))
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
    state: Annotated[State | None, typer.Option(help="Only jobs in this state.")] = None,
    source: Annotated[str | None, typer.Option(help="Only jobs of this source.")] = None,
    outcome: OutcomeOption = None,
    since: Since = None,
    until: Until = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option(min=1, help="The most jobs to list.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List jobs, the last submitted first, each with its attempt and what happened to it last, or when it is due.

    With --outcome, --since, --until or --reason the newest comes first: by the time of its finish, or
    else of its submit.

    Without, more than 1,000 jobs are sorted by id, greatest first, as with --json. For generated ids that is the same
    order as by submit.
    """
    with asking(url, token) as boss:
        listed = each(boss.jobs(state=state, source=source, outcome=outcome, since=since, until=until, reason=reason))
        if as_json:
            # Printed as they come: there may be more than fit in memory.
            if not _print_each(islice(listed, limit)):
                give_up_on_unknown(boss, source)
            return
        is_in_order = any(word is not None for word in (outcome, since, until, reason))
        by_submit = not is_in_order and _how_many(now(boss.tree()), state, source) <= _MOST_SORTED
        # Documents may be large, so only the jobs to be shown are kept in memory.
        found = nlargest(limit, listed, key=_submitted) if by_submit else list(islice(listed, limit))
        if not found:
            give_up_on_unknown(boss, source)
    if found:
        print_jobs(found)
        if not by_submit and not is_in_order:
            typer.echo(
                "boss: sorted by id, because there are more than 1,000; --source and --state narrow the list", err=True
            )
    else:
        typer.echo("boss: there are no such jobs", err=True)


def _print_each(jobs: Iterable[dict[str, Any]]) -> int:
    """Print each job as a line of JSON; return how many."""
    printed = 0
    for printed, job in enumerate(jobs, start=1):  # noqa: B007
        print_json(job)
    return printed


def _submitted(job: dict[str, Any]) -> str:
    return str(job["submitted"])


def _how_many(counts: dict[str, dict[str, int]], state: str | None, source: str | None) -> int:
    """The number of jobs in a tree with this state and source; any when None."""
    states = counts.values() if state is None else [counts[state]]
    return sum(sum(each.values()) if source is None else each.get(source, 0) for each in states)


def show(
    id: Annotated[str, typer.Argument(help="The job's id; its source need not be known.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the job is done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a job with all its properties, and, if it is available, why it was not taken yet.

    Exits with 3 when there is none.
    """
    if wait:
        wait_until_done(url, token, id)
    with asking(url, token) as boss:
        job = now(boss.find(id))
    if as_json:
        print_json(job)
        return
    for name, value in _properties(job):
        typer.echo(f"{name:<{_NAME_WIDTH}}  {in_lines(value, _NAME_WIDTH + 2)}")


def _properties(job: dict[str, Any]) -> list[tuple[str, str]]:
    shown = [
        ("id", job["id"]),
        ("source", job["source"]),
        ("state", f"{job['state']}, {job['outcome']}" if job["outcome"] else job["state"]),
        ("why", job.get("why")),
        ("priority", str(job["priority"])),
        ("attempt", f"{job['attempt']} of {job['attempts']}"),
        ("submitted", _when(job["submitted"], job["submitted_by"])),
        ("due", _when(job["due"])),
        ("after", ", ".join(job["after"])),
        ("expires", _when(job["expires"]) if not job["attempt"] else ""),
        ("timeout", f"{job['timeout']:,} s" if job["timeout"] else ""),
        ("taken", _when(job["taken"], job["taken_by"])),
        ("converter", job["converter"]),
        ("last seen", _when(job["seen"])),
        ("lease", _when(job["until"])),
        ("finished", _when(job["finished"], job["finished_by"])),
        ("document", exact(job["job"])),
        ("result", exact(job["result"]) if job["result"] is not None else ""),
        ("note", exact(job["note"]) if job["note"] is not None else ""),
        *((f"attempt {past['attempt']}", _past(past)) for past in job["history"] or ()),
    ]
    return [(name, value) for name, value in shown if value]


def _past(attempt: dict[str, Any]) -> str:
    """How an earlier attempt went."""
    taken = f"taken {second(attempt['taken'])}" if attempt.get("taken") else "never taken"
    taken += f" by {attempt['by']}" if attempt.get("by") else ""
    ended = f"{attempt['how']} {second(attempt['ended'])}"
    taken += f" in {attempt['converter']}" if attempt.get("converter") else ""
    by = f" by {attempt['given_back_by']}" if attempt.get("given_back_by") else ""
    uncounted = ", uncounted" if attempt.get("uncounted") else ""
    redone = f", redone {second(attempt['redone'])}" if attempt.get("redone") else ""
    redone += f" by {attempt['redone_by']}" if attempt.get("redone_by") else ""
    return f"{taken}, {ended}{by}{uncounted}{redone}" + (f": {attempt['why']}" if attempt.get("why") else "")


def _when(instant: str | None, by: str | None = None) -> str:
    return f"{second(instant)}, {ago(instant)}{f' by {by}' if by else ''}" if instant else ""


def converters(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """List the converters that name themselves and were heard of in the last hour, with the jobs that they hold."""
    with asking(url, token) as boss:
        found = now(boss.converters())
    if as_json:
        print_json_lines(found)
        return
    rows = [
        (
            printable(each["name"]),
            "any" if each["sources"] is None else " ".join(each["sources"]),
            f"{each['holds']:,}",
            f"{each['taken']:,}",
            ago(each["heard"]),
        )
        for each in found
    ]
    print_table(("name", "sources", "holds", "taken", "heard"), rows)


def doctor(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """Diagnose the database. Each line has a verdict, and what to do unless it is well. Exits with 1 then."""
    with asking(url, token) as boss:
        health = now(boss.health())
    if as_json:
        print_json(health)
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
        raise typer.Exit(FAILED)
