"""The parts that all commands share: the application, the options with Boss's URL and token, and error messages."""

import contextlib
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from boss import __version__
from boss.cli import exit_codes
from boss.cli.values import read_plainly
from boss.client.address import TOKEN_VARIABLE, URL_VARIABLE
from boss.client.json_text import exact
from boss.errors import BossError, Unreachable

if TYPE_CHECKING:
    from boss.client.sync_client import Client
    from boss.client.verbs import Verbs

_T = TypeVar("_T")

app = typer.Typer(
    help="Boss, a job dispatcher over plain HTTP.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # The help is plain, because importing rich takes as long as all the rest of boss --help.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nExit codes:\n" + "\n".join(f"  {code:3}  {meaning}" for code, meaning in exit_codes.MEANINGS.items()),
)
read_plainly()

Url = Annotated[str, typer.Option("--url", envvar=URL_VARIABLE, help="The URL of Boss. Each response may take 30 s.")]
Token = Annotated[str | None, typer.Option("--token", envvar=TOKEN_VARIABLE, help="Access token.", show_envvar=True)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"boss {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", "-V", is_eager=True, callback=_say_version, help="Print the version, and exit.")
    ] = False,
) -> None:
    """Boss, a job dispatcher over plain HTTP."""


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under headings. Long cells are wrapped to fit a terminal; in a pipe they are not."""
    # Imported here, because most commands print no table, and importing it takes as long as they run.
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console(width=None if sys.stdout.isatty() else 10_000).print(table)


def printable(text: str) -> str:
    """The text without control characters, which a terminal would obey."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def in_one_line(text: str) -> str:
    """The text as one line, without control characters."""
    return printable(" ".join(text.split()))


def in_lines(text: str, indent: int) -> str:
    """The text without control characters, but with its lines; those after the first are indented."""
    # Java and Go indent their tracebacks by tabs.
    lines = [printable(line.expandtabs(4)) for line in text.splitlines()]
    return "\n".join(f"{' ' * indent if number else ''}{line}".rstrip() for number, line in enumerate(lines))


def print_json(value: object) -> None:
    """Print a line of JSON, with every number exactly as Boss wrote it."""
    typer.echo(exact(value))


def print_json_lines(values: Iterable[object]) -> None:
    """Print each value as a line of JSON."""
    for value in values:
        print_json(value)


def give_up(sentence: str, code: int = exit_codes.FAILED) -> NoReturn:
    """End the command with one line that says what went wrong, and this exit code."""
    typer.echo(f"boss: {sentence}", err=True)
    raise typer.Exit(code) from None


def confirm(question: str) -> None:
    """Ask, and end the command unless the answer is yes. Ctrl-C ends it as anywhere else."""
    typer.echo(f"{question} [y/N]: ", nl=False)
    answer = sys.stdin.readline()
    if not answer:
        typer.echo()
        give_up("no answer came, and nothing was done; --yes does it without asking")
    if answer.strip().lower() not in ("y", "yes"):
        give_up("nothing was done")


# How long a command that waits for a job tries again while Boss is away, in seconds.
_PATIENCE_S = 60.0


@contextlib.contextmanager
def asking(url: str, token: str | None) -> Iterator["Verbs"]:
    """A client whose requests a command sends by `now(…)`, without retries; an error ends the command with one line."""
    # Imported here, because boss --help and boss serve need none of it.
    from boss.client.once import OnceConnection
    from boss.client.verbs import Verbs

    with _errors_told():
        yield Verbs(OnceConnection(url, token))


@contextlib.contextmanager
def client(url: str, token: str | None, patience: float) -> Iterator["Client"]:
    """A client that retries for `patience` seconds while Boss is away; an error ends the command with one line."""
    from boss.client.sync_client import Client

    with _errors_told(), Client(url, token=token, patience=patience) as client:
        yield client


def wait_until_done(url: str, token: str | None, id: str) -> None:
    """Wait until a job is done, also while Boss restarts."""
    with client(url, token, _PATIENCE_S) as boss:
        boss.find(id, wait=None)


def in_line(sentence: str) -> str:
    """A sentence from Boss for use after a colon, with a small first letter; names keep their capitals."""
    word = sentence.split(" ", 1)[0]
    return sentence if word == "Boss" or word[1:] != word[1:].lower() else sentence[:1].lower() + sentence[1:]


@contextlib.contextmanager
def _errors_told() -> Iterator[None]:
    try:
        yield
    except BossError as error:
        where = " (--url or BOSS_URL say where Boss is)" if isinstance(error, Unreachable) else ""
        give_up(f"{in_line(str(error))}{where}", exit_codes.code_of(error))


def now(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine of `asking`'s client, and return its result."""
    from boss.client import once

    return once.now(coroutine)


def each(many: AsyncIterator[_T]) -> Iterator[_T]:
    """Iterate over an asynchronous iterator of `asking`'s client."""
    from boss.client import once

    return once.each(many)
