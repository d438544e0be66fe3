"""Boss, a job dispatcher over plain HTTP on PostgreSQL.

From here comes the client, for who writes converters in Python; it needs neither a server nor a database.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boss.client.asynchronous import AsyncClient
    from boss.client.blocking import Client, Job
    from boss.client.taken import AsyncJob, Failure
    from boss.converter import Converter
    from boss.errors import BadInput, BossError, IdTaken, Lost, NoJob, NotABoss, NotThere, Unreachable, WrongAttempt
    from boss.job import Line

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "BadInput",
    "BossError",
    "Client",
    "Converter",
    "Failure",
    "IdTaken",
    "Job",
    "Line",
    "Lost",
    "NoJob",
    "NotABoss",
    "NotThere",
    "Unreachable",
    "WrongAttempt",
]

_HOME = {
    "AsyncClient": "client.asynchronous",
    "AsyncJob": "client.taken",
    "Client": "client.blocking",
    "Converter": "converter",
    "Failure": "client.taken",
    "Job": "client.blocking",
    "Line": "job",
}


def __getattr__(name: str) -> object:
    """Import what is asked for when it is asked for (PEP 562), for a server has no use for an HTTP client."""
    if name not in __all__:
        raise AttributeError(f"module 'boss' has no attribute {name!r}")
    return getattr(import_module(f"boss.{_HOME.get(name, 'errors')}"), name)
