"""Writes the reference pages from the code: python docs/reference.py [FOLDER]. `make docs` runs it."""

import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from typer.main import get_command

import boss
from boss.cli import app
from boss.errors import BossError
from reference_http import http_page
from reference_text import NOTE, cell, table

DOCS = Path(__file__).parent
OPENAPI = DOCS.parent / "src" / "boss" / "http" / "openapi.json"
# Public among the modules of the client, and not for its users.
_INTERNAL = {"hand_out", "expire", "lose", "finish_or_give_back"}
# Made by a client only.
_NOT_CONSTRUCTED = {"AsyncJob", "Job"}
_WORDS = {
    "int": "whole number",
    "float": "number",
    "str": "text",
    "list": "text, also several times",
    "Path": "file",
    "datetime": "time",
}


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {
        "settings.md": settings_page(),
        "commands.md": commands_page(),
        "python.md": python_page(),
        "http.md": http_page(json.loads(OPENAPI.read_text())),
    }


def settings_page() -> str:
    """Every setting of `boss serve`, and the variables that the other commands read."""
    commands = dict(_commands(get_command(app), "boss"))
    serve = commands.pop("boss serve")
    headings = ("flag", "environment", "value", "default", "meaning")
    rows = [(_flags(each), f"`{each.envvar}`", *_value(each)) for each in _options(serve)]
    others = {each.envvar: each for command in commands.values() for each in _options(command) if each.envvar}
    shared = [(f"`{name}`", _flags(each), *_value(each)) for name, each in others.items()]
    return "\n".join(
        [
            *NOTE,
            "# Settings",
            "",
            "Each setting of `boss serve` is a flag and an environment variable. If both are given, the flag wins.",
            "",
            *table(headings, rows),
            "",
            "## Of the other commands",
            "",
            *table(("environment", "flag", "value", "default", "meaning"), shared),
            "",
        ]
    )


def commands_page() -> str:
    """Every command with its arguments and options."""
    lines = [*NOTE, "# Commands", ""]
    for name, command in _commands(get_command(app), "boss"):
        lines += [f"## {name}", "", f"```text\n{_usage(command, name)}\n```", "", *_prose(command.help), ""]
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        if arguments:
            lines += [
                *table(
                    ("argument", "meaning"), [(f"`{each.metavar or each.name}`", cell(each.help)) for each in arguments]
                ),
                "",
            ]
        options = _options(command)
        if options:
            rows = [(_flags(each), *_value(each)) for each in options]
            lines += [*table(("option", "value", "default", "meaning"), rows), ""]
        if command.epilog:
            lines += [*_epilog(command.epilog), ""]
    return "\n".join(lines)


def python_page() -> str:
    """What can be imported from `boss`."""
    lines = [
        *NOTE,
        "# Python API",
        "",
        "Everything here is imported from `boss`. `Json` is `dict[str, Any] | str | bytes`:",
    ]
    lines += ["a JSON object, or JSON text, which is kept to the last digit.", ""]
    for name in ("Converter", "AsyncClient", "Client", "AsyncJob", "Job", "JobLine", "Failure"):
        lines += _class(getattr(boss, name))
    lines += ["## Errors", "", "Every error is a `BossError`, and `str(error)` is one sentence.", ""]
    errors = [getattr(boss, name) for name in boss.__all__]
    rows = [
        (f"`{each.__name__}`", f"`{each.__base__.__name__}`", f"`{each.name}`" if each.name else "", cell(_first(each)))
        for each in errors
        if issubclass(each, BossError)
    ]
    lines += [*table(("error", "is a", "problem in the HTTP API", "meaning"), rows), ""]
    return "\n".join(lines)


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, command
    for each in getattr(command, "commands", {}).values():
        yield from _commands(each, f"{name} {each.name}")


def _usage(command: Any, name: str) -> str:
    context = command.context_class(command, info_name=name)
    return " ".join([name, *command.collect_usage_pieces(context)])


def _prose(text: str | None) -> Iterable[str]:
    return (line.replace("\b", "") for line in inspect.cleandoc(text or "").splitlines())


def _epilog(epilog: str) -> Iterable[str]:
    """An example as code; the exit codes, which are lines of their own, as they are."""
    if epilog.startswith("Example: "):
        examples = epilog.removeprefix("Example: ").replace(", boss ", "\nboss ")
        return ["Example:", "", f"```sh\n{examples}\n```"]
    return ["```text", *epilog.replace("\b", "").strip().splitlines(), "```"]


def _options(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "option" and not each.hidden]


def _flags(option: Any) -> str:
    return ", ".join(f"`{each}`" for each in [*option.opts, *option.secondary_opts])


def _value(option: Any) -> tuple[str, str, str]:
    """What an option takes, what it is when it is not given, and what it means."""
    meaning, stated = re.fullmatch(r"(.*?)(?:\s*\[default: (.*)\])?", option.help or "", re.DOTALL).groups()  # type: ignore[union-attr]
    default = stated or _default(option)
    return _kind(option), cell(default), cell(meaning)


def _kind(option: Any) -> str:
    if option.is_flag:
        return ""
    annotation = option.type_descriptor.annotation if hasattr(option, "type_descriptor") else None
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(f"`{each.value}`" for each in annotation)
    name = getattr(annotation, "__name__", "text")
    words = " or ".join(f"`{each}`" for each in (option.metavar or "").split("|"))
    value = words if option.metavar else _WORDS.get(name, name)
    least, most = getattr(option, "min", None), getattr(option, "max", None)
    bounds = [f"{word} {limit:,}" for word, limit in (("from", least), ("to", most)) if limit is not None]
    return " ".join([value, *bounds])


def _default(option: Any) -> str:
    default = option.default
    if option.required:
        return "required"
    if default is None or default in ((), []):
        return "none"
    if isinstance(default, bool):
        return "on" if default else "off"
    if option.metavar == "BYTES":
        return f"{default} ({_size(default)})"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _size(count: int) -> str:
    for unit, name in ((1024 * 1024, "MiB"), (1024, "KiB")):
        if count % unit == 0:
            return f"{count // unit} {name}"
    return "bytes"


def _class(kind: type) -> list[str]:
    lines = [f"## {kind.__name__}", ""]
    if kind.__name__ in _NOT_CONSTRUCTED:
        lines += [*_docstring(kind, without="Args"), ""]
    else:
        lines += [*_signature(kind.__name__, kind), "", *_docstring(kind), ""]
    for name, member in _members(kind):
        lines += [f"### {kind.__name__}.{name}", ""]
        if not isinstance(member, property) and callable(member):
            lines += [*_signature(name, member), ""]
        lines += [*_docstring(member), ""]
    return lines


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Its public methods and properties, its own first, as they stand in the code."""
    seen = set(_INTERNAL)
    for each in (each for each in kind.__mro__ if each.__module__.startswith("boss.")):
        for name, member in vars(each).items():
            described = callable(member) or isinstance(member, property) or hasattr(member, "func")
            if not name.startswith("_") and name not in seen and described and inspect.getdoc(member):
                seen.add(name)
                yield name, member


def _signature(name: str, what: Any) -> Sequence[str]:
    """The call, on one line if it fits."""
    signature = inspect.signature(what)
    given = [each for each in signature.parameters.values() if each.name != "self"]
    parameters, kinds = [_plain(str(each)) for each in given], [each.kind for each in given]
    if inspect.Parameter.KEYWORD_ONLY in kinds:
        parameters.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    returned = signature.return_annotation
    end = "" if inspect.isclass(what) else f" -> {_plain(inspect.formatannotation(returned))}"
    start = "async " if inspect.iscoroutinefunction(what) else ""
    line = f"{start}{name}({', '.join(parameters)}){end}"
    if len(line) > 100:
        line = f"{start}{name}(\n" + "".join(f"    {each},\n" for each in parameters) + f"){end}"
    return ["```python", line, "```"]


def _plain(text: str) -> str:
    """An annotation without the modules that its names come from."""
    text = re.sub(r"<(?:\w+\.)*\w+: ('[^']*')>", r"\1", text)  # a member of an enumeration
    text = re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", text)
    text = re.sub(r"\b(?:collections\.abc|typing|datetime|boss(?:\.\w+)*)\.", "", text)
    return text.replace("dict[str, Any] | str | bytes", "Json").replace("NoneType", "None")


def _docstring(what: Any, without: str = "nothing") -> Iterator[str]:
    """Its text; the lists of a docstring (Args, Raises, Attributes) as lists."""
    in_list = False
    text = re.sub(rf"\n{without}:\n(    .*\n?)*", "", inspect.getdoc(what) or "")
    for line in re.sub(r"[Ss]ee (`(\w+)\.(\w+)`)", _linked, text).splitlines():
        if re.fullmatch(r"(Args|Raises|Attributes|Returns):", line):
            in_list = True
            yield f"**{line[:-1]}**"
            yield ""
        elif in_list and (entry := re.fullmatch(r"    (\w[\w, ]*): (.*)", line)):
            yield f"- `{entry[1]}`: {entry[2]}"
        elif in_list and line.startswith("     "):
            yield f"  {line.strip()}"
        else:
            in_list = in_list and not line
            yield line


def _linked(see: re.Match[str]) -> str:
    return f"See [{see[1]}](#{see[2].lower()}{see[3]})"


def _first(what: Any) -> str:
    return (inspect.getdoc(what) or "").split("\n\n")[0].replace("\n", " ")


def main() -> None:
    """Write the pages."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "reference"
    folder.mkdir(exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
