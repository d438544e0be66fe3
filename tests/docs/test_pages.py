"""Every command in docs/ prints what is shown there; and the site builds without a warning."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.page_shell import Shell, steps

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGES = {page.name: page.read_text() for page in (ROOT / "docs").glob("*.md")}
WITH_COMMANDS = sorted(name for name, text in PAGES.items() if "```console" in text)
# A submit by curl, which sends a body, or by boss submit: its source and its id.
SUBMIT = re.compile(r"(?:curl -d \S.*/job/available/|boss submit )([\w-]+)[/ ]?([\w.-]*)")


@pytest.fixture
def shell(data: Path) -> Iterator[Shell]:
    shell = Shell(data, Path(sys.executable).parent)
    yield shell
    shell.close()


@pytest.mark.long
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_command_gives_what_is_shown(page: str, shell: Shell) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed here")
    commands = steps(PAGES[page])
    if not commands[0][0].endswith("&"):
        shell.run("boss serve --port 8080 --data ./boss-data &")
    shell.follow(commands)


def test_no_two_pages_submit_to_the_same_source() -> None:
    """So that a reader can follow one page after the other on the same Boss. Ids are unique over all sources, too."""
    sources, ids = Counter[str](), Counter[str]()
    for text in ((ROOT / "README.md").read_text(), *PAGES.values()):
        submitted = {found for command, _ in steps(text) for found in SUBMIT.findall(command)}
        sources.update({source for source, _ in submitted})
        ids.update({id for _, id in submitted if id and "." not in id})
    assert {"freg", "weather"} <= sources.keys()
    assert "monday" in ids
    assert [each for each, pages in [*sources.items(), *ids.items()] if pages > 1] == []


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    # It is about mkdocs 2, which we do not use.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert said.returncode == 0, said.stderr
    assert "WARNING" not in said.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(PAGES)
    loaded = {url for page in pages for url in re.findall(r'(?:src|href)="(https?://[^"]+)"[^>]*(?:rel="stylesheet"|></script>)',
                                                          page.read_text())}  # fmt: skip
    assert loaded == set(), "nothing is loaded from elsewhere"


def test_every_page_can_be_found() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [name for name in PAGES if name not in navigation] == []
