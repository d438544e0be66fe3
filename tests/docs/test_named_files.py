"""Every file that a page of docs/ names is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("**/*.md"))
FILES = [
    f"/{path.relative_to(ROOT)}" for folder in ("src", "deploy", "docs", "bench") for path in (ROOT / folder).rglob("*")
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = re.findall(
        r"`(\w[\w/.-]*\.(?:py|sql|js|json|yaml|service)|(?:http|cli|dispatch|postgres|model)/[\w/]*)`", page.read_text()
    )
    assert [each for each in named if not any(file.endswith(f"/{each.rstrip('/')}") for file in FILES)] == []
