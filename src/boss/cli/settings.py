"""The flag and the environment variable of each setting, made from the fields of `Settings`."""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from inspect import Parameter, Signature
from typing import Annotated, Any, get_type_hints

import typer

from boss.settings import Settings


def take_settings(command: Callable[..., None], names: Sequence[str] | None = None) -> Callable[..., None]:
    """Let a command take these settings as options, or all of them; return the command."""
    types = get_type_hints(Settings)
    options = [_option(each, types[each.name]) for each in fields(Settings) if names is None or each.name in names]
    # Typer reads the options from these two attributes.
    command.__signature__ = Signature(options)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in options}
    return command


def _option(setting: "Field[Any]", kind: Any) -> Parameter:
    has_default = setting.default is not MISSING
    options = {name: value for name, value in setting.metadata.items() if value is not None}
    if options.get("exists"):
        options["dir_okay"] = False
    option = typer.Option(f"--{setting.name.replace('_', '-')}", envvar=f"BOSS_{setting.name.upper()}", **options)
    return Parameter(
        setting.name,
        Parameter.KEYWORD_ONLY,
        default=setting.default if has_default else None,
        annotation=Annotated[kind if has_default else kind | None, option],
    )
