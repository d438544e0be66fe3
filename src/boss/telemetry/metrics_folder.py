"""The folder through which worker processes share their metrics, so that each can report the metrics of all."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "boss-metrics-"
# The parent of the workers holds a lock on this file for as long as it lives.
_LOCK = "lock"


@contextmanager
def metrics_folder() -> Iterator[None]:
    """Create the folder, and name it in the environment of the workers. Remove those of parents that were killed."""
    _remove_abandoned()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    new = folder / "new"
    with new.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Only now may others find it, when it is locked.
        new.rename(folder / _LOCK)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
        try:
            yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # An error means that it is another user's, or has no lock, or is locked, and so its parent lives.
        with suppress(OSError), (folder / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
