"""No known vulnerability is in what is installed, as far as the database of them can be reached from here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_no_known_vulnerability() -> None:
    command = [str(Path(sys.executable).with_name("pip-audit")), "--require-hashes", "--disable-pip"]
    locks = [word for name in ("requirements.lock", "requirements-dev.lock") for word in ("--requirement", name)]
    said = subprocess.run(
        [*command, "--progress-spinner=off", "--format=json", "--timeout=10", *locks],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if not said.stdout.strip():
        # It could not ask at all; anything else is an error of ours.
        reason = said.stderr.strip().splitlines()[-1]
        assert "ConnectionError" in reason or "Failed to" in reason, said.stderr
        pytest.skip(f"pip-audit cannot reach pypi.org: {reason}")
    found = json.loads(said.stdout)["dependencies"]
    assert [each for each in found if each.get("vulns")] == []
    unknown = [each["skip_reason"] for each in found if "skip_reason" in each]
    if unknown:
        pytest.skip(f"pip-audit could not look at {len(unknown)} of {len(found)} packages: {unknown[0]}")
