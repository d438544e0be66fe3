"""Boss, a job dispatcher over plain HTTP on PostgreSQL.

This package exports the client, for converters written in Python. The client needs no local server and no database.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from boss.client.async_client import AsyncClient
    from boss.client.converter import Converter
    from boss.client.job import AsyncJob, Failure
    from boss.client.sync_client import Client
    from boss.client.sync_job import Job
    from boss.errors import (
        BadInput,
        BossError,
        IdTaken,
        Lost,
        NoJob,
        NotABoss,
        NotCompleted,
        NotDone,
        NotThere,
        UnknownJobs,
        Unreachable,
        WrongAttempt,
    )
    from boss.model.job import JobLine

    Line = JobLine

# The version is defined only here: pyproject.toml, `boss --version` and /openapi.json read it.
__version__ = "0.2.0.dev0"

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
    "JobLine",
    "Line",
    "Lost",
    "NoJob",
    "NotABoss",
    "NotCompleted",
    "NotDone",
    "NotThere",
    "UnknownJobs",
    "Unreachable",
    "WrongAttempt",
]

_HOME = {
    "AsyncClient": "client.async_client",
    "AsyncJob": "client.job",
    "Client": "client.sync_client",
    "Converter": "client.converter",
    "Failure": "client.job",
    "Job": "client.sync_job",
    "JobLine": "model.job",
}
# Earlier names, kept for one version.
_RENAMED = {"Line": "JobLine"}


def __getattr__(name: str) -> object:
    """Import each name on first use (PEP 562): a server has no use for an HTTP client."""
    if name not in __all__:
        raise AttributeError(f"module 'boss' has no attribute {name!r}")
    name = _RENAMED.get(name, name)
    return getattr(import_module(f"boss.{_HOME.get(name, 'errors')}"), name)
