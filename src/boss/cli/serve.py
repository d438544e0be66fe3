"""`boss serve`."""

import os
from dataclasses import MISSING, Field, fields
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from boss.cli.application import give_up
from boss.cli.database import DatabaseFile, database_url
from boss.cli.exit_codes import USAGE, code_of
from boss.errors import StartError
from boss.settings import Settings

_Quiet = Annotated[
    bool, typer.Option("--quiet", envvar="BOSS_QUIET", help="Do not log a line for each event of a job.")
]


def add_to(app: typer.Typer) -> None:
    """Add the command, with a flag for each setting."""
    types = get_type_hints(Settings)
    options = [_option(each, types[each.name]) for each in fields(Settings)]
    database = next(place for place, each in enumerate(options) if each.name == "database")
    file = Parameter("database_file", Parameter.KEYWORD_ONLY, default=None, annotation=DatabaseFile)
    options.insert(database + 1, file)
    options.append(Parameter("quiet", Parameter.KEYWORD_ONLY, default=False, annotation=_Quiet))
    # Typer reads the options from these two attributes.
    serve.__signature__ = Signature(options)  # type: ignore[attr-defined]
    serve.__annotations__ = {each.name: each.annotation for each in options}
    app.command(epilog="Example: boss serve --port 9000 --data ./data")(serve)


def _option(setting: "Field[Any]", kind: Any) -> Parameter:
    """The flag and the environment variable of a setting."""
    has_default = setting.default is not MISSING
    options = {name: value for name, value in setting.metadata.items() if value is not None}
    if options.get("metavar") == "FILE":
        options |= {"exists": True, "dir_okay": False}
    option = typer.Option(f"--{setting.name.replace('_', '-')}", envvar=f"BOSS_{setting.name.upper()}", **options)
    return Parameter(
        setting.name,
        Parameter.KEYWORD_ONLY,
        default=setting.default if has_default else None,
        annotation=Annotated[kind if has_default else kind | None, option],
    )


def _default_data() -> Path:
    """/var/lib/boss for root, else ~/.local/share/boss (XDG Base Directory Specification)."""
    if os.geteuid() == 0:
        return Path("/var/lib/boss")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "boss"


def serve(*, database_file: Path | None, quiet: bool, **asked: Any) -> None:
    """Serve until SIGTERM or Ctrl-C. Then answer the requests under way, and end.

    Without --database it starts a PostgreSQL of its own, with its data in the folder --data.
    """
    # Imported here, because the other commands do not need the server's packages.
    try:
        from boss.main import run
        from boss.telemetry import logging
    except ModuleNotFoundError as error:
        give_up(f"the package {error.name} is not installed; boss serve needs boss-dispatcher[server,embedded]")

    logging.configure(quiet)
    if (asked["tls_cert"] is None) != (asked["tls_key"] is None):
        give_up("--tls-cert and --tls-key must be given together", USAGE)
    asked["database"] = database_url(asked["database"], database_file)
    asked["data"] = asked["data"] or _default_data()
    try:
        run(Settings(**asked), quiet)
    except StartError as error:
        give_up(str(error), code_of(error))
