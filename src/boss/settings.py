"""Every setting of a server, once; the command line and BOSS_… in the environment fill it (cli/serve.py)."""

from dataclasses import dataclass
from pathlib import Path

from boss.job import DEFAULT_LEASE

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
DEFAULT_MAX_DOCUMENT = 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """What `boss serve` was told.

    Attributes:
        host: the address to listen on.
        port: the TCP port to listen on.
        database: a PostgreSQL URL; None for the embedded PostgreSQL in `data`.
        data: the folder of the embedded PostgreSQL.
        max_document: the largest document or result, in bytes.
        lease: how long a taker that does not say so itself may stay silent, in seconds; 0 for ever.
        keep_done: how many days a done job is kept; None for ever.
    """

    data: Path
    database: str | None = None
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    max_document: int = DEFAULT_MAX_DOCUMENT
    lease: int = DEFAULT_LEASE
    keep_done: float | None = None
