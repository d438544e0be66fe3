"""The files in deploy/, and the programs that check them."""

import subprocess
import sys
from pathlib import Path

DEPLOY = Path(__file__).parents[2] / "deploy"


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name(command[0])
    words = [str(program) if program.exists() else command[0], *command[1:]]
    return subprocess.run(words, capture_output=True, text=True)
