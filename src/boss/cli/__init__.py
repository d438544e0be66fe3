"""The command `boss`: one module for each group of commands."""

import sys
from typing import NoReturn

import typer

from boss.cli import admin, jobs, looking, migrate, pruning, serve, work
from boss.cli.application import app
from boss.cli.exit_codes import FAILED, UNREAD, USAGE
from boss.cli.output import CannotWrite, prepare

__all__ = ["app", "main"]

for group in (serve, migrate, work, jobs, looking, pruning, admin):
    group.add_to(app)


def main() -> NoReturn:
    """Run the command; of what is wrong with the words it was given, one line is said."""
    prepare()
    arguments = sys.argv[1:]
    # What comes after `--` is another program's command line there, and is not looked at.
    end = arguments.index("--") if arguments[:1] == ["work"] and "--" in arguments else len(arguments)
    try:
        code = app(arguments[:end], obj=arguments[end + 1 :], prog_name="boss", standalone_mode=False)
    except typer.Abort:
        typer.echo("boss: nothing was done", err=True)
        code = FAILED
    except CannotWrite as error:
        if not error.unread:
            typer.echo(f"boss: {error}", err=True)
        code = UNREAD if error.unread else FAILED
    except typer.TyperException as error:
        code = _tell(error)
    sys.exit(code)


def _tell(error: typer.TyperException) -> int:
    sentence = getattr(error, "format_message", error.__str__)()
    context = getattr(error, "ctx", None)
    if "\n" in sentence:  # a group without a command says its whole help
        typer.echo(sentence, err=True)
    else:
        sentence = sentence.replace("Value error, ", "").replace("(Possible options: ", "(did you mean ")
        more = f" ({context.command_path} --help says more)" if context else ""
        typer.echo(f"boss: {sentence[:1].lower()}{sentence[1:].rstrip('.')}{more}", err=True)
    return int(getattr(error, "exit_code", USAGE))
