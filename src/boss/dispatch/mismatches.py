"""Errors of requests about a job that is in another state, source or attempt."""

from collections.abc import Sequence
from typing import TypeVar

from boss.errors import BossError, NotThere, StateMismatch, WrongAttempt
from boss.model.job import Finish, Location, State


def where(id: str, location: Location | None) -> str:
    return f"it is at /job/{location.state}/{location.source}/{id}" if location else f"no job has the id {id}"


def listed(names: Sequence[str], most: int) -> str:
    """The first of these names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


_Mismatch = TypeVar("_Mismatch", bound=StateMismatch)


def mismatch(kind: type[_Mismatch], sentence: str, location: Location | None, unseen: str) -> _Mismatch:
    """An error about a job that is not where the request names it."""
    return kind(sentence, location and location.state, location and location.source, unseen)


def _not_there(said: str, unseen: str, id: str, location: Location | None) -> NotThere:
    """An error that says where the job is; `unseen` is for those who may not see it."""
    return mismatch(NotThere, f"{said}: {where(id, location)}", location, f"{unseen}: {where(id, None)}")


def not_there(state: State, source: str, id: str, location: Location | None) -> NotThere:
    missed = f"no job at /job/{state}/{source}/{id}"
    return _not_there(missed, missed, id, location)


def not_taken(source: str, id: str, location: Location | None) -> NotThere:
    """The reason why a take by address took nothing."""
    missed = f"only an available job of {source} can be taken"
    return _not_there(missed, missed, id, location)


def wrong_attempt(id: str, asked: int | None, state: State, attempt: int) -> WrongAttempt:
    about = "another attempt" if asked is None or asked < 0 else f"attempt {asked}"
    return WrongAttempt(f"the request is about {about} of {id}, which is {state} in attempt {attempt}", state)


def check_location(state: State, source: str, id: str, attempt: int | None, location: Location | None) -> Location:
    """The location of a job, which is at the address of a request, and in its attempt if it names one.

    Raises:
        NotThere: it is not there.
        WrongAttempt: it is in another attempt.
    """
    if location is None or not location.is_at(source, state):
        raise not_there(state, source, id, location)
    if attempt not in (None, location.attempt):
        raise wrong_attempt(id, attempt, location.state, location.attempt)
    return location


def not_moved(state: State, source: str, id: str, attempt: int | None, location: Location | None) -> BossError:
    """The reason why a request did nothing to a job in this state, judged by where the job is now."""
    try:
        check_location(state, source, id, attempt, location)
    except (NotThere, WrongAttempt) as error:
        return error
    # It has come there since.
    return not_there(state, source, id, location)


def not_finished(finish: Finish, location: Location | None) -> BossError:
    """The reason why a finish did nothing, judged by where the job is now."""
    there = location is not None and location.source == finish.source and location.state is not State.DONE
    if there and location and finish.attempt not in (None, location.attempt):
        return wrong_attempt(finish.id, finish.attempt, location.state, location.attempt)
    missed, id = "only an available or active job can be done", finish.id
    said = "the job is done already" if location and location.state is State.DONE else missed
    return _not_there(said, missed, id, location)
