"""The built wheel is whole: installed in an empty environment, it does what the README and the first page show."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest

from boss import __version__
from tests.helpers.page_shell import Shell, clean_environment, steps

# As long ones they stay together in one process, so that the environment is made once.
pytestmark = [pytest.mark.slow, pytest.mark.long]

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder outside of the checkout, which the embedded PostgreSQL's user can reach, unlike pytest's tmp_path."""
    with tempfile.TemporaryDirectory(prefix="boss-wheel-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def build(source: Path, folder: Path) -> Path:
    """The wheel of this source, in this folder."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    said = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(place: Path) -> Path:
    """The wheel that `make wheel` builds."""
    return build(ROOT, place / "dist")


def names(wheel: Path) -> set[str]:
    with ZipFile(wheel) as files:
        return set(files.namelist())


def pip(python: Path, *words: str | Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        f"--python={python}",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-compile",
        *words,
    ]
    said = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
    if "connection broken by" in said.stderr and said.returncode:
        pytest.skip("the package index cannot be reached from here")
    assert said.returncode == 0, said.stderr


@pytest.fixture(scope="module")
def programs(wheel: Path, place: Path) -> Path:
    """The folder of the commands of an environment with the wheel and what the lock file names, and nothing else."""
    # Ours installs into it: a pip of its own would take as long to install as half of what it installs.
    command = [sys.executable, "-m", "venv", "--without-pip", str(place / "venv")]
    subprocess.run(command, check=True, env=clean_environment())
    programs = place / "venv" / "bin"
    pip(programs / "python", "--require-hashes", "--requirement", ROOT / "requirements.lock")
    pip(programs / "python", "--no-index", wheel)
    return programs


@pytest.fixture
def shell(data: Path, programs: Path) -> Iterator[Shell]:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed here")
    shell = Shell(data, programs)
    yield shell
    shell.close()


def test_it_has_every_file_of_the_package(wheel: Path) -> None:
    packed = names(wheel)
    kept = {
        str(file.relative_to(PACKAGE))
        for file in (PACKAGE / "boss").rglob("*")
        if file.is_file() and file.parent.name != "__pycache__"
    }
    # So that this test knows what it looks at, wherever the files are moved to.
    for needed in ("py.typed", "openapi.json", "index.html", "style.css", "0001_job.sql"):
        assert any(Path(file).name == needed for file in kept), needed
    assert kept <= packed
    others = {Path(file).name for file in packed - kept}
    assert others == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "LICENSE"}


def test_the_image_has_all_that_the_wheel_is_built_from(wheel: Path, place: Path) -> None:
    """Docker may not be here, so what the Dockerfile copies is copied, and built."""
    dockerfile, let_in = (ROOT / "deploy" / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().split()
    before_install = dockerfile.partition("install --no-cache-dir --no-deps .")[0]
    copied = [name for names in re.findall(r"^COPY (.*) \S+$", before_install, re.MULTILINE) for name in names.split()]
    assert {"pyproject.toml", "src"} <= set(copied)
    assert [name for name in copied if f"!{name}" not in let_in] == []
    context = place / "context"
    context.mkdir()
    for name in copied:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, context / name)
        else:
            shutil.copy(ROOT / name, context)
    assert names(build(context, place / "image")) == names(wheel)


def test_it_says_what_it_is(wheel: Path) -> None:
    with ZipFile(wheel) as files:
        [name] = [name for name in files.namelist() if name.endswith("/METADATA")]
        about = message_from_bytes(files.read(name))
    assert (about["Name"], about["Version"]) == ("boss-dispatcher", __version__)
    assert (about["License-Expression"], about["License-File"]) == ("Apache-2.0", "LICENSE")
    assert about.get_all("Provides-Extra") == ["embedded", "server", "tracing"]


@pytest.mark.long
def test_nothing_of_the_checkout_is_imported(programs: Path, place: Path) -> None:
    words = [str(programs / "python"), "-c", "import boss; print(boss.__file__)"]
    said = subprocess.run(words, cwd=place, env=clean_environment(), capture_output=True, text=True, check=True)
    assert Path(said.stdout).is_relative_to(place / "venv")


@pytest.mark.long
def test_the_first_ten_minutes(shell: Shell) -> None:
    assert shell.run("boss --version") == f"boss {__version__}\n"
    shell.follow(steps((ROOT / "docs" / "index.md").read_text()))


def test_the_life_of_a_job_in_the_readme(shell: Shell) -> None:
    shell.run("boss serve --port 8080 --data ./boss-data &")
    shell.follow(steps((ROOT / "README.md").read_text())[:5])
    with httpx.Client(base_url=shell.environment["BOSS_URL"]) as client:
        page = client.get("/", headers={"Accept": "text/html"}).text
        loaded = re.findall(r'(?:src|href)="(/[^"]+\.(?:js|css|svg))"', page)
        assert len(loaded) >= 3, page
        assert {client.get(file).status_code for file in loaded} == {200}
        assert client.get("/openapi.json").json()["info"]["version"] == __version__
