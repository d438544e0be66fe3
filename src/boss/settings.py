"""Every setting of a server, once; the command line and BOSS_… in the environment fill it (cli/serve.py)."""

from dataclasses import dataclass
from pathlib import Path

from boss.model.job import DEFAULT_LEASE

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
DEFAULT_MAX_DOCUMENT = 1024 * 1024
DEFAULT_MAX_HEADERS = 64 * 1024
DEFAULT_MAX_CONNECTIONS = 16_384
DEFAULT_MAX_WAITING = 10_000
DEFAULT_MAX_QUEUE = 10_000_000
DEFAULT_RATE = 5_000
# Longer than what stands between keeps its connections: a load balancer does for 60 seconds.
DEFAULT_HEADER_TIMEOUT = 75.0
DEFAULT_BODY_TIMEOUT = 60.0
DEFAULT_MAX_MEMORY = 256 * 1024 * 1024


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
        open: whether other machines are served while there are no tokens.
        tls_cert, tls_key: files with the certificate chain and its key, PEM; None for plain HTTP.
        max_headers: the largest request line and headers, in bytes.
        max_connections: how many connections there may be at once.
        max_memory: how many bytes of bodies and of unread responses may be in memory at once.
        max_waiting: how many takers may wait at once.
        max_queue: how many available jobs of a source are the most.
        rate: how many requests a second are taken with one token, on average; 0 for any number.
        header_timeout: how long a client may take to send its headers, and be idle between requests, in seconds.
        body_timeout: how long a client may take to send its body, in seconds.
        workers: how many processes serve.
    """

    data: Path
    database: str | None = None
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    max_document: int = DEFAULT_MAX_DOCUMENT
    lease: int = DEFAULT_LEASE
    keep_done: float | None = None
    open: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    max_headers: int = DEFAULT_MAX_HEADERS
    max_connections: int = DEFAULT_MAX_CONNECTIONS
    max_memory: int = DEFAULT_MAX_MEMORY
    max_waiting: int = DEFAULT_MAX_WAITING
    max_queue: int = DEFAULT_MAX_QUEUE
    rate: int = DEFAULT_RATE
    header_timeout: float = DEFAULT_HEADER_TIMEOUT
    body_timeout: float = DEFAULT_BODY_TIMEOUT
    workers: int = 1
