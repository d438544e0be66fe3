"""The files in deploy/ work: shown by the linter of each kind. test_monitoring.py has those for Prometheus."""

import shutil

import pytest

from tests.helpers.deploy import DEPLOY, tool


@pytest.mark.parametrize(
    "command",
    [
        ("hadolint", str(DEPLOY / "Dockerfile")),
        ("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose.yaml")),
        ("kubernetes-validate", "--strict", str(DEPLOY / "kubernetes" / "boss.yaml")),
    ],
    ids=lambda command: command[0],
)
def test_a_linter_has_nothing_to_say(command: tuple[str, ...]) -> None:
    said = tool(*command)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")
def test_systemd_takes_the_unit() -> None:
    said = tool("systemd-analyze", "verify", str(DEPLOY / "boss.service"))
    complaints = [line for line in said.stderr.splitlines() if "boss.service" in line]
    # The unit is right; only Boss is not installed there.
    assert complaints in ([], ["boss.service: Command /opt/boss/bin/boss is not executable: No such file or directory"])
