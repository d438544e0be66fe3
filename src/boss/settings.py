"""The settings of a server, each defined once with its help and its limits.

cli/settings.py makes the flags and environment variables: for `max_queue`, `--max-queue` and `BOSS_MAX_QUEUE`.
"""

from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any

from boss.model.job import DEFAULT_LEASE, LONGEST_LEASE, MOST_TEXT

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
_MIB = 1024 * 1024


def _setting(
    default: Any,
    about: str,
    unit: str | None = None,
    *,
    least: float | None = None,
    most: float | None = None,
    exists: bool | None = None,
) -> Any:
    """A field of `Settings`.

    Args:
        default: its default; MISSING when the command finds it out.
        about: its help in `boss serve --help`.
        unit: its unit or kind of value, as the help shows it.
        least: the least value allowed.
        most: the greatest value allowed.
        exists: whether it names a file that must exist.
    """
    return field(
        default=default, metadata={"help": about, "metavar": unit, "min": least, "max": most, "exists": exists}
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of `boss serve`. Times are in seconds, sizes in bytes."""

    host: str = _setting(
        DEFAULT_HOST,
        "Address to listen on: 0.0.0.0 for all of IPv4, :: for all of IPv6, an empty text for all of both.",
    )
    port: int = _setting(DEFAULT_PORT, "Port to listen on.", least=1, most=65535)
    database: str | None = _setting(
        None,
        "URL of a PostgreSQL 15 or newer: postgresql://user:password@host/name. "
        "Everybody on this machine can see a command line (ps), so prefer the environment variable or a file.",
        "URL",
    )
    database_file: Path | None = _setting(None, "A file that contains the database's URL.", "FILE")
    data: Path = _setting(
        MISSING,
        "Without --database: the folder of the embedded PostgreSQL, which has all the data.  "
        "[default: ~/.local/share/boss, for root /var/lib/boss]",
        "DIR",
    )
    max_document: int = _setting(_MIB, "Largest document or result.", "BYTES", least=2, most=MOST_TEXT)
    lease: int = _setting(
        DEFAULT_LEASE,
        "Default lease: after this time without a heartbeat, a job goes to another converter. 0: leases never expire.",
        "SECONDS",
        least=0,
        most=LONGEST_LEASE,
    )
    open: bool = _setting(False, "While there are no tokens, serve other machines too: EVERYBODY may do everything.")
    tls_cert: Path | None = _setting(None, "Certificate chain for HTTPS (PEM).", "FILE", exists=True)
    tls_key: Path | None = _setting(None, "Private key of the certificate (PEM).", "FILE", exists=True)
    max_headers: int = _setting(64 * 1024, "Largest request line and headers.", "BYTES", least=8192)
    max_connections: int = _setting(
        16_384, "Most open connections. At the limit, a new one closes the one that has been idle for longest.", least=1
    )
    max_memory: int = _setting(
        256 * _MIB,
        "Most memory for request bodies being read and responses being sent.",
        "BYTES",
        least=_MIB,
    )
    max_waiting: int = _setting(10_000, "Most takers that wait on this replica.", least=0)
    max_queue: int = _setting(10_000_000, "Most available jobs of a source.", least=1)
    rate: int = _setting(5_000, "Most requests a second with one token, on this replica. 0: no limit.", least=0)
    # Longer than the 60 seconds for which a load balancer keeps an idle connection.
    header_timeout: float = _setting(
        75.0,
        "Longest wait for a request's headers, and between requests; for the first byte at most 30.",
        "SECONDS",
        least=1,
    )
    body_timeout: float = _setting(60.0, "Longest wait for a request's body.", "SECONDS", least=1)
    workers: int = _setting(1, "Worker processes; they share one port under one parent.", least=1, most=64)
    keep_done: float | None = _setting(
        None, "Delete jobs this long after they are done, or up to a sixth later.  [default: never]", "DAYS", least=0
    )
    quiet: bool = _setting(False, "Do not log a line for each event of a job.")
