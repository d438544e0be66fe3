"""Every setting of a server, once: from here come its flag, its environment variable, its help and its limits.

A setting `max_queue` is the flag `--max-queue` and the variable `BOSS_MAX_QUEUE`; cli/serve.py makes them.
"""

from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any

from boss.model.job import DEFAULT_LEASE, LONGEST_LEASE, MOST_TEXT

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
DATABASE_HELP = (
    "A PostgreSQL 15 or newer, as postgresql://user:password@host/name. "
    "On the command line everybody on this machine can see it (ps): rather use the environment, or a file."
)
_MIB = 1024 * 1024


def _setting(
    default: Any, about: str, unit: str | None = None, *, least: float | None = None, most: float | None = None
) -> Any:
    """A field of `Settings`.

    Args:
        default: its value when nobody sets it; MISSING when cli/serve.py finds it out.
        about: a sentence for `boss serve --help`.
        unit: what it counts, or what kind of word it is.
        least: the least that it can be.
        most: the most that it can be.
    """
    return field(default=default, metadata={"help": about, "metavar": unit, "min": least, "max": most})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `boss serve` was told. Times are in seconds, sizes in bytes."""

    host: str = _setting(DEFAULT_HOST, "Address to listen on.")
    port: int = _setting(DEFAULT_PORT, "Port to listen on.", least=1, most=65535)
    database: str | None = _setting(
        None,
        DATABASE_HELP,
        "URL",
    )
    data: Path = _setting(
        MISSING,
        "Without a database: the folder of the embedded PostgreSQL, where all the data is.  "
        "[default: ~/.local/share/boss, for root /var/lib/boss]",
        "DIR",
    )
    max_document: int = _setting(_MIB, "Largest document or result.", "BYTES", least=2, most=MOST_TEXT)
    lease: int = _setting(
        DEFAULT_LEASE,
        "How long a converter may stay silent before its job goes to another, when it does not say so itself. "
        "0: for ever.",
        "SECONDS",
        least=0,
        most=LONGEST_LEASE,
    )
    open: bool = _setting(False, "Serve other machines, too, while there are no tokens: EVERYBODY.")
    tls_cert: Path | None = _setting(None, "Certificate chain, PEM: HTTPS.", "FILE")
    tls_key: Path | None = _setting(None, "Its key, PEM.", "FILE")
    max_headers: int = _setting(64 * 1024, "Largest request line and headers.", "BYTES", least=8192)
    max_connections: int = _setting(
        16_384, "Connections at once. For one more, the one that has been idle for longest is closed.", least=1
    )
    max_memory: int = _setting(
        256 * _MIB,
        "Memory for the bodies of requests being read and the responses being sent.",
        "BYTES",
        least=_MIB,
    )
    max_waiting: int = _setting(10_000, "Takers that wait at once.", least=0)
    max_queue: int = _setting(10_000_000, "Available jobs of a source.", least=1)
    rate: int = _setting(5_000, "Requests a second with one token, on this replica. 0: any.", least=0)
    # Longer than the 60 seconds for which a load balancer keeps an idle connection.
    header_timeout: float = _setting(
        75.0, "For a request's headers, and between requests; for the first byte at most 30.", "SECONDS", least=1
    )
    body_timeout: float = _setting(60.0, "For a request's body.", "SECONDS", least=1)
    workers: int = _setting(1, "Processes that serve; on one port, under one parent.", least=1, most=64)
    keep_done: float | None = _setting(
        None, "Delete jobs that have been done for so many days.  [default: never]", "DAYS", least=0
    )
