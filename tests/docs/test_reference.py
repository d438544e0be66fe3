"""The reference pages are what their generator makes of the code today."""

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_committed_pages_are_those_of_the_code(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(DOCS / "reference.py"), str(tmp_path)], check=True)
    made = {page.name: page.read_text() for page in tmp_path.iterdir()}
    committed = {page.name: page.read_text() for page in (DOCS / "reference").iterdir()}
    assert made.keys() == committed.keys()
    stale = [name for name, text in made.items() if text != committed[name]]
    assert stale == [], "make docs makes them anew"
