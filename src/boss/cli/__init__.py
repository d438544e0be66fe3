"""The command `boss`: one module for each group of commands."""

import re
import sys
from typing import NoReturn

import typer

from boss.cli import admin, jobs, looking, migrate, moving, pruning, schedules, serve, work
from boss.cli.application import app
from boss.cli.exit_codes import FAILED, UNREAD, USAGE
from boss.cli.output import CannotWrite, prepare

__all__ = ["app", "main"]

for group in (serve, migrate, work, jobs, moving, looking, pruning, schedules, admin):
    group.add_to(app)

# Hints for a command with an extra argument.
_HINTS = {
    "boss jobs": "; the jobs of a source are listed with --source SOURCE",
    "boss tree": "; the jobs of a source are listed with boss jobs --source SOURCE",
    "boss source": "; a source is paused with boss source SOURCE --paused",
    "boss show": "; a job is shown by its id alone, without its source",
}
# What somebody may mean by setting a part of a source's rule to 0.
_NONE_OF_IT = re.compile(r"^Invalid value for '--(limit|rate|timeout)': 0(\.0*)? is less")
_ZERO_HINTS = {
    "limit": "; --paused hands out none",
    "rate": "; --paused hands out none",
    "timeout": "; --without timeout removes it",
}

_NO_COMMAND = re.compile("^No such command '([^']+)'")
# What other programs call the commands.
_ALSO_CALLED = {
    "list": "jobs",
    "ls": "jobs",
    "find": "show",
    "get": "show",
    "status": "tree",
    "top": "tree --watch",
    "start": "serve",
    "run": "work",
    "add": "submit",
    "push": "submit",
    "cancel": "stop",
    "retry": "redo",
    "rerun": "redo",
    "remove": "delete",
    "rm": "delete",
    "sources": "source",
    "tokens": "token list",
    "schedules": "schedule list",
    "cron": "schedule list",
    "health": "doctor",
}


def main() -> NoReturn:
    """Run the command. An error in its arguments is one line on standard error."""
    prepare()
    arguments = sys.argv[1:]
    arguments = _meant(arguments)
    # After `--`, `boss work` has another program's command line, which is not parsed.
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


def _meant(arguments: list[str]) -> list[str]:
    """The arguments with `help` and `version`, which are no commands, replaced by the options they mean."""
    match arguments:
        case ["help", *command]:
            return [*command, "--help"]
        case ["version"]:
            return ["--version"]
    return arguments


def _tell(error: typer.TyperException) -> int:
    sentence = getattr(error, "format_message", error.__str__)()
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # a group without a command
        typer.echo(sentence, err=True)
    elif getattr(error, "option_name", "") == "--version":
        return int(app(["--version"], standalone_mode=False))
    else:
        # The message about a missing option has one line for each choice.
        sentence = " ".join(sentence.split()).rstrip(".")
        if context and "extra argument" in sentence:
            sentence += _HINTS.get(context.command_path, "")
        if context and context.command_path == "boss source" and (none := _NONE_OF_IT.match(sentence)):
            sentence += _ZERO_HINTS[none[1]]
        if (unknown := _NO_COMMAND.search(sentence)) and unknown[1] in _ALSO_CALLED:
            sentence = f"no such command '{unknown[1]}'; did you mean boss {_ALSO_CALLED[unknown[1]]}?"
        sentence = sentence.replace("Value error, ", "").replace("(Possible options: ", "(did you mean ")
        more = f" ({context.command_path} --help says more)" if context else ""
        typer.echo(f"boss: {sentence[:1].lower()}{sentence[1:].rstrip('.')}{more}", err=True)
    return int(getattr(error, "exit_code", USAGE))
