"""Each message that docs/troubleshooting.md explains is one that the code says, and advises commands that exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GAP = "…"


def test_each_message_is_in_the_code() -> None:
    said = {text for path in (ROOT / "src" / "boss").rglob("*.py") for text in texts(path)}
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    quoted = re.findall(r"^\*\*`(.+)`\*\*$", page, re.MULTILINE)
    assert len(quoted) > 50
    assert [each for each in quoted if not any(each in text for text in said)] == []


def test_each_command_that_a_message_advises_exists() -> None:
    said = [text for path in (ROOT / "src" / "boss").rglob("*.py") for text in texts(path)]
    advised = {word for text in said for word in re.findall(r"(?:[:,;(] ?|\b(?:as|by|with|see) )boss ([a-z-]+)", text)}
    known = re.findall(r"^## boss ([a-z-]+)", (ROOT / "docs" / "reference" / "commands.md").read_text(), re.MULTILINE)
    assert len(advised) > 10
    assert advised <= {*known}


def texts(path: Path) -> list[str]:
    """Every text in a file, with a gap for each value that is put into it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    filled = [
        "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
        for node in nodes
        if isinstance(node, ast.JoinedStr)
    ]
    return [re.sub(r"\{\}|%(\.\d)?[sdf]", GAP, text) for text in (*plain, *filled)]
