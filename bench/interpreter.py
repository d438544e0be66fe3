"""The interpreter for benchmarks: one that was built with profile-guided optimisation.

An interpreter without it, as pyenv builds them, runs Python code 1.8 times slower. Then everything written in C seems
to cost nothing, and ratios mean little. `configure` records the optimisation. Debian and Ubuntu request it from `make`
instead, and then remove its flag from the record, where it would always be otherwise.
"""

import json
import subprocess
import sys
from pathlib import Path

_DEBIAN = Path("/usr/bin/python3")
_ASK = """
import json, platform, sysconfig
known = ["CONFIG_ARGS", "CFLAGS", "CC", "PGO_PROF_GEN_FLAG", "PGO_PROF_USE_FLAG"]
print(json.dumps({name: sysconfig.get_config_var(name) or "" for name in known} | {"v": platform.python_version()}))
"""


def described(python: Path) -> tuple[str, bool]:
    """An interpreter in a few words, and whether it was built with profile-guided optimisation."""
    said = subprocess.run([str(python), "-c", _ASK], capture_output=True, text=True, check=True).stdout
    optimised = _optimised(json.loads(said))
    how = "built with profile-guided optimisation" if optimised else "built WITHOUT profile-guided optimisation"
    return f"Python {json.loads(said)['v']} ({python.resolve()}, {how})", optimised


def _optimised(built: dict[str, str]) -> bool:
    noted = "--enable-optimizations" in built["CONFIG_ARGS"] or "-fprofile-use" in built["CFLAGS"]
    taken_out = bool(built["PGO_PROF_GEN_FLAG"]) and not built["PGO_PROF_USE_FLAG"] and "gcc" in built["CC"]
    return noted or taken_out


def optimised() -> Path:
    """This interpreter, or else Debian's: the first that was built with the optimisation."""
    for python in (Path(sys.executable), _DEBIAN):
        if python.exists() and described(python)[1]:
            return python
    sys.exit(
        f"a Python built with profile-guided optimisation is needed: neither {sys.executable} nor {_DEBIAN} is one"
    )
