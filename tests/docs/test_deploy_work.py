"""The files in deploy/ for workers work, and leave them enough time to give their jobs back."""

import re
import shutil
import tomllib

import pytest

from tests.helpers.deploy import DEPLOY, tool

UNIT = (DEPLOY / "boss-work.service").read_text()
MANIFEST = (DEPLOY / "kubernetes" / "boss-work.yaml").read_text()
# How long Boss may be away when a job is given back, in seconds.
_GIVE_BACK_S = 15


def test_kubernetes_takes_the_manifest() -> None:
    said = tool("kubernetes-validate", "--strict", str(DEPLOY / "kubernetes" / "boss-work.yaml"))
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")
def test_systemd_takes_the_unit() -> None:
    said = tool("systemd-analyze", "verify", str(DEPLOY / "boss-work.service"))
    complaints = [line for line in said.stderr.splitlines() if "boss-work.service" in line]
    # The unit is right; only Boss is not installed there.
    missing = "boss-work.service: Command /opt/boss/bin/boss is not executable: No such file or directory"
    assert complaints in ([], [missing])


@pytest.mark.parametrize(
    ("text", "stop"),
    [(UNIT, r"^TimeoutStopSec=(\d+)$"), (MANIFEST, r"terminationGracePeriodSeconds: (\d+)$")],
    ids=["systemd", "kubernetes"],
)
def test_a_command_may_use_its_grace_and_the_job_is_given_back(text: str, stop: str) -> None:
    """It has the grace to end by itself, and once more when it is told to."""
    [until] = re.findall(stop, text, re.MULTILINE)
    [grace] = re.findall(r'--grace,? "?(\d+)', text)
    assert int(until) >= 2 * int(grace) + _GIVE_BACK_S


def test_its_commands_are_stopped_by_boss_work_alone() -> None:
    assert "\nKillMode=mixed\n" in UNIT


@pytest.mark.parametrize("text", [UNIT, MANIFEST], ids=["systemd", "kubernetes"])
def test_its_command_line_is_understood(text: str) -> None:
    [line] = re.findall(r"(?:/boss |args: \[)(work.*?)\]?$", text, re.MULTILINE)
    words = [word.strip('",') for word in line.split()]
    said = tool("boss", *words[: words.index("--")], "--", "/no/such/command")
    assert (said.returncode, "no program '/no/such/command'" in said.stderr) == (2, True), said.stderr


def test_the_image_has_what_boss_work_needs() -> None:
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
    lock = (DEPLOY / "requirements.lock").read_text()
    installed = {name.lower() for name in re.findall(r"^([\w-]+)==", lock, re.MULTILINE)}
    needed = {re.split(r"[^\w-]", each, maxsplit=1)[0].lower() for each in project["dependencies"]}
    assert needed <= installed
