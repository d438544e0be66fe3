"""The two clients for Python can do the same."""

import inspect

from boss import AsyncClient, AsyncJob, Client, Job

# What the command line and the converters are built on, and no program needs.
INTERNAL = {"hand_out"}
# What a job's client, its converter and the checks in the background tell it.
TOLD = {"expire", "finish_or_give_back", "lose", "stop"}


def public(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


def parameters(kind: type, name: str) -> dict[str, object]:
    found = inspect.signature(getattr(kind, name)).parameters.values()
    return {each.name: (each.kind, each.default) for each in found}


def test_they_have_the_same_methods_with_the_same_parameters() -> None:
    assert public(AsyncClient) - INTERNAL == public(Client)
    methods = [name for name in public(Client) if inspect.isfunction(getattr(Client, name))]
    assert len(methods) > 20
    for name in methods:
        assert parameters(Client, name) == parameters(AsyncClient, name), name


def test_their_jobs_do_too() -> None:
    # An attribute there is a property here, for it lives in another thread.
    assert public(AsyncJob) - TOLD <= public(Job)
