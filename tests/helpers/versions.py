"""The code of earlier versions."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def git(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True).stdout


def code_before(migration: str, folder: Path) -> Path:
    """The code of the commit before the one that added the migration, in this folder."""
    try:
        # In whatever folder migrations were then.
        how = ("--first-parent", "-m", "--diff-filter=A", "--format=%H")
        added = git("log", *how, "--", f"*/migrations/{migration}").decode().split()
        archive = git("archive", f"{added[-1]}^", "src/boss") if added else git("archive", "HEAD", "src/boss")
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"there is no history of the code here: {error}")
    # By tar: TarFile.extractall has no filter before Python 3.11.4.
    subprocess.run(["tar", "--extract", "--directory", str(folder)], input=archive, check=True)
    source = folder / "src"
    assert not list(source.rglob(migration))
    return source
