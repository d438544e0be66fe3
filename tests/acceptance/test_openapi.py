"""The served OpenAPI document, and whatever schemathesis makes of it."""

import subprocess
import sys
from pathlib import Path

from tests.servers import BossProcess


def test_schemathesis_finds_nothing(module_boss: BossProcess, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("schemathesis")
    # The document cannot say that a NUL is refused wherever it stands, nor that `delay` and `at` exclude each other,
    # so what it allows is now and then refused; test_bad_input.py has both.
    arguments = [
        "run",
        "--exclude-checks",
        "positive_data_acceptance",
        f"{module_boss.url}/openapi.json",
        "--max-examples",
        "60",
        "--seed",
        "1",
        "--no-color",
    ]
    done = subprocess.run([command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Traceback" not in module_boss.log
    assert "ERROR" not in module_boss.log
