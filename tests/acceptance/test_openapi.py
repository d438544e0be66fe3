"""The served OpenAPI document, and whatever schemathesis makes of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.servers import BossProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# How schemathesis is to write and read what the document describes as an array.
NDJSON = """
import json
import schemathesis

@schemathesis.serializer("application/x-ndjson")
def write_lines(context, value):
    if not isinstance(value, list):
        return b"no lines"
    return "".join(json.dumps(line) + "\\n" for line in value).encode()

@schemathesis.deserializer("application/x-ndjson")
def read_lines(context, response):
    return [json.loads(line) for line in response.content.splitlines()]
"""


@pytest.mark.long
def test_schemathesis_finds_nothing(module_boss: BossProcess, tmp_path: Path) -> None:
    # It makes tokens, too, and with the first one Boss would ask for one itself.
    with module_boss.client() as client:
        token = client.post("/token/schemathesis", json={"role": "admin"}).json()["token"]
    command = Path(sys.executable).with_name("schemathesis")
    # The document cannot say that a NUL is refused wherever it stands, nor that `delay` and `at` exclude each other,
    # so what it allows is now and then refused; test_bad_input.py has both.
    # It would rather ask for many short waits than for a few long ones.
    config = tmp_path / "schemathesis.toml"
    hooks = tmp_path / "hooks.py"
    hooks.write_text(NDJSON)
    config.write_text(f'hooks = "{hooks}"\n' + '[parameters]\n"query.wait" = 0\n"header.Prefer" = "wait=0"\n')
    arguments = [
        "--config-file",
        str(config),
        "run",
        "--exclude-checks",
        "positive_data_acceptance",
        f"{module_boss.url}/openapi.json",
        "--header",
        f"Authorization: Bearer {token}",
        "--max-examples",
        "25",
        "--seed",
        "1",
        "--no-color",
    ]
    done = subprocess.run([command, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Traceback" not in module_boss.log
    assert '"level":"error"' not in module_boss.log
