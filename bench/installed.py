"""Installs a version of Boss into an environment of its own, from its own lock file."""

import hashlib
import shutil
import subprocess
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_VERSIONS = _ROOT / ".venv" / "versions"


def code_of(revision: str, folder: Path, *paths: str) -> Path:
    """Write the files of a revision into a folder, all or those at these paths; return where its packages are."""
    command = ["git", "archive", revision, *paths]
    archive = subprocess.run(command, capture_output=True, check=True, cwd=_ROOT).stdout
    folder.mkdir(parents=True)
    subprocess.run(["tar", "--extract", "--directory", str(folder)], input=archive, check=True)
    return folder / "src"


def installed(revision: str | None, python: Path) -> Path:
    """The Python of a revision's environment, or of the working tree's when None; creates the environment if needed."""
    folder = _VERSIONS / (_commit(revision) if revision else "now")
    code = folder / "code" if revision else _ROOT
    if revision and not code.exists():
        code_of(revision, code)
    lock = code / "requirements.lock"
    made_of = hashlib.sha256(lock.read_bytes() + (code / "pyproject.toml").read_bytes()).hexdigest() + f" {python}"
    stamp = folder / "made-of"
    if not stamp.exists() or stamp.read_text() != made_of:
        _make(folder / "environment", python, code, lock)
        stamp.write_text(made_of)
    return folder / "environment" / "bin" / "python"


def _commit(revision: str) -> str:
    command = ["git", "rev-parse", "--short=12", f"{revision}^{{commit}}"]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=_ROOT).stdout.strip()


def _make(environment: Path, python: Path, code: Path, lock: Path) -> None:
    print(f"installing {lock}", flush=True)
    shutil.rmtree(environment, ignore_errors=True)
    subprocess.run([str(python), "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(lock)], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", str(code)], check=True)
