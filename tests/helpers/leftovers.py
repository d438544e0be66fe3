"""Processes that tests have started and not ended."""

import os
from contextlib import suppress

import psutil

from tests.helpers.servers import cmdline

# Every process that a test starts inherits this variable; its value is the process of pytest.
OF_TESTS = "STARTED_BY_TESTS"
# How the names of the folders of the session's own PostgreSQL servers begin, in the folder for temporary files.
SESSION_FOLDER = "boss-test-"


def end_processes_of_tests() -> list[str]:
    """Kill what this process's tests have left behind; return the command lines."""
    left = [each for each in psutil.process_iter() if _is_left(each)]
    said = [" ".join(cmdline(each)) for each in left]
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(left, timeout=10)
    return [each for each in said if each]


def _is_left(process: psutil.Process) -> bool:
    try:
        return (
            process.pid != os.getpid()
            and process.environ().get(OF_TESTS) == str(os.getpid())
            and process.status() != psutil.STATUS_ZOMBIE
            and SESSION_FOLDER not in process.cwd()
        )
    except psutil.Error:  # it has just ended, or it is another user's
        return False
