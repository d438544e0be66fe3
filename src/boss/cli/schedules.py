"""The commands about schedules: boss schedule set, list, pause, resume, run, delete."""

from typing import Annotated, Any

import typer

from boss.cli.application import AsJson, Token, Url, asking, now, print_json, print_json_lines, print_table
from boss.cli.documents import read_document
from boss.cli.times import ago, second
from boss.client.json_text import exact
from boss.model.schedule import Missed
from boss.settings import DEFAULT_URL

Name = Annotated[str, typer.Argument(help="The schedule's name. The job of a moment has the id NAME-MOMENT.")]

_schedules = typer.Typer(help="Let Boss submit jobs by itself, at the moments of a cron line.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command, name, example in (
        (set_schedule, "set", "boss schedule set nightly freg '0 3 * * *' --zone Europe/Oslo document.json"),
        (list_schedules, "list", "boss schedule list"),
        (pause, "pause", "boss schedule pause nightly"),
        (resume, "resume", "boss schedule resume nightly"),
        (run, "run", "boss schedule run nightly"),
        (delete, "delete", "boss schedule delete nightly"),
    ):
        _schedules.command(name, epilog=f"Example: {example}")(command)
    app.add_typer(_schedules, name="schedule")


def set_schedule(
    name: Name,
    source: Annotated[str, typer.Argument(help="The source of its jobs.")],
    cron: Annotated[str, typer.Argument(help="Minute, hour, day of the month, month and day of the week.")],
    url: Url = DEFAULT_URL,
    token: Token = None,
    file: Annotated[
        str | None, typer.Argument(help="The file with the document of its jobs; - is standard input.  [default: {}]")
    ] = None,
    zone: Annotated[str, typer.Option(metavar="NAME", help="The time zone of the cron line.")] = "UTC",
    missed: Annotated[
        Missed, typer.Option(help="What to do about moments that pass while no Boss is running.")
    ] = Missed.RUN_ONCE,
    paused: Annotated[bool, typer.Option("--paused", help="Submit no jobs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set a schedule, in place of the one of its name, and print its next moment."""
    document = "{}" if file is None else read_document(file)
    with asking(url, token) as boss:
        made = now(boss.set_schedule(name, source, cron, document, zone=zone, missed=missed, paused=paused))
    _print_one(made, as_json)


def list_schedules(url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """List the schedules, with their next moments in UTC."""
    with asking(url, token) as boss:
        found = now(boss.schedules())
    if as_json:
        print_json_lines(found)
        return
    rows = [
        (each["name"], each["source"], each["cron"], each["zone"], each["missed"], second(each["next"]) or "paused")
        for each in found
    ]
    print_table(("name", "source", "cron", "zone", "missed", "next"), rows)


def pause(name: Name, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """Let a schedule submit no jobs until it is resumed."""
    _set_paused(name, url, token, as_json, paused=True)


def resume(name: Name, url: Url = DEFAULT_URL, token: Token = None, as_json: AsJson = False) -> None:
    """Let a paused schedule submit jobs again, from its next moment on."""
    _set_paused(name, url, token, as_json, paused=False)


def run(name: Name, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Submit a job of a schedule now, also while it is paused. Prints the job's id."""
    with asking(url, token) as boss:
        typer.echo(now(boss.run_schedule(name)))


def delete(name: Name, url: Url = DEFAULT_URL, token: Token = None) -> None:
    """Delete a schedule. Its jobs stay."""
    with asking(url, token) as boss:
        now(boss.delete_schedule(name))


def _set_paused(name: str, url: str, token: str | None, as_json: bool, paused: bool) -> None:
    with asking(url, token) as boss:
        found = now(boss.schedule(name))
        kept = {"zone": found["zone"], "missed": found["missed"]}
        made = now(boss.set_schedule(name, found["source"], found["cron"], exact(found["job"]), **kept, paused=paused))
    _print_one(made, as_json)


def _print_one(schedule: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(schedule)
    elif schedule["paused"]:
        typer.echo(f"{schedule['name']} is paused")
    else:
        far = ago(schedule["next"])
        words = f", {far}" if far.startswith("in ") else ""
        typer.echo(f"{schedule['name']} is next due at {second(schedule['next'])}{words}")
