"""The size and the words of the code: python -m bench.source_code [CHECKOUT]...

It prints one column for each checkout, so two versions can be compared. It only reads files, and imports nothing of
them. RETIRED has words that had several meanings, or none that a newcomer would guess. Each was replaced by a word for
each meaning (docs/glossary.md).
"""

import argparse
import ast
import re
import statistics
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

RETIRED = re.compile(
    "place|look|marks?|shelf|ask|guard|right|access|taking|untake|sweep|sweeper|hearing|rules?|held|tally|fold|acts?|"
    "watch|watcher|journal|move|keepable|unheard|unclaimed|dismiss|alarm|noted"
)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Source(NamedTuple):
    """A module: its path in the package, its number of lines, and its parsed text."""

    path: Path
    lines: int
    tree: ast.Module


def modules(checkout: Path) -> list[Source]:
    """Every module of the package."""
    package = checkout / "src" / "boss"
    files = sorted(package.rglob("*.py"))
    texts = [file.read_text() for file in files]
    return [
        Source(file.relative_to(package), text.count("\n"), ast.parse(text))
        for file, text in zip(files, texts, strict=True)
    ]


def functions(found: list[Source]) -> list[int]:
    """The number of lines of each function, without its docstring and decorators."""
    nodes = [node for each in found for node in ast.walk(each.tree) if isinstance(node, _Function)]
    return [lines_of(node) for node in nodes]


def lines_of(function: _Function) -> int:
    """How long a function is, from its `def` to its end."""
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = function.body[0]
    inside = (docstring.end_lineno or 0) - docstring.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - inside


def shared_classes(found: list[Source]) -> list[str]:
    """The names of classes that more than one module defines."""
    homes: dict[str, set[Path]] = defaultdict(set)
    for each in found:
        for node in each.tree.body:
            if isinstance(node, ast.ClassDef):
                homes[node.name.lstrip("_")].add(each.path)
    return sorted(name for name, paths in homes.items() if len(paths) > 1)


def retired_words(found: list[Source]) -> Counter[str]:
    """How many definitions (classes, functions, parameters, fields) have each retired word in their name."""
    return Counter(
        word for each in found for name in defined(each.tree) for word in words(name) if RETIRED.fullmatch(word)
    )


def defined(tree: ast.Module) -> Iterator[str]:
    """The names that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | _Function):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def words(name: str) -> list[str]:
    """The words of a name such as `ScanCursor` or `scan_cursor`."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def rows(checkout: Path) -> dict[str, str]:
    """Each measure and its value."""
    found = modules(checkout)
    lengths, sizes = sorted(functions(found)), [each.lines for each in found]
    contracts = tomllib.loads((checkout / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    retired, shared = retired_words(found), shared_classes(found)
    return {
        "files": f"{len(found)}",
        "lines of a file: median, longest": f"{statistics.median(sizes):.0f}, {max(sizes)}",
        "functions": f"{len(lengths)}",
        "lines of a function: median, p90, longest": f"{statistics.median(lengths):.0f}, "
        f"{lengths[len(lengths) * 9 // 10]}, {lengths[-1]}",
        "modules at the root": f"{sum(len(each.path.parts) == 1 for each in found)}",
        "import rules": f"{len(contracts)}",
        "rows of layers in them": f"{sum(len(each.get('layers', ())) for each in contracts)}",
        "class names that two modules have": f"{len(shared)}: {', '.join(shared)}",
        "definitions with a retired word": f"{retired.total()}",
        "the most frequent": ", ".join(f"{word} {times}" for word, times in retired.most_common(6)),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("checkouts", nargs="*", type=Path, default=[Path()], help="folders; this one when absent")
    checkouts: list[Path] = parser.parse_args().checkouts
    columns = [rows(each) for each in checkouts]
    print("| |", " | ".join(str(each) for each in checkouts), "|")
    print("| --- |", " | ".join("---" for _ in checkouts), "|")
    for name in columns[0]:
        print(f"| {name} |", " | ".join(column[name] for column in columns), "|")


if __name__ == "__main__":
    main()
