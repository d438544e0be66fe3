"""Explain why a command did not find a job: it has another source, state or attempt."""

import contextlib
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING

from boss.cli.application import each, give_up, now
from boss.cli.exit_codes import NOT_THERE
from boss.cli.times import ago, second
from boss.errors import BossError, NotThere, WrongAttempt
from boss.model.job import State

if TYPE_CHECKING:
    from boss.client.json_text import Document
    from boss.client.verbs import Verbs

# The most jobs that are read to say until when they are delayed: one page of the list.
_MOST_READ = 100


@contextlib.contextmanager
def explaining(boss: "Verbs", source: str, id: str, attempt: int | None, always: bool = False) -> Iterator[None]:
    """When the body does not find the job, end the command with the job's real source, state or attempt.

    For a job of this source Boss's own message is kept, unless `always` is set: a response to HEAD has no message.
    """
    try:
        yield
    except (NotThere, WrongAttempt) as error:
        try:
            job = now(boss.find(id))
        except NotThere:
            raise error if not always else NotThere(f"no job has the id {id}", None) from None
        except BossError:  # a token of a converter may not see it
            raise error from None
        if job["source"] != source:
            give_up(f"{id} is a job of {job['source']}, not of {source}", NOT_THERE)
        if always:
            give_up(_standing(job, attempt), NOT_THERE)
        raise


def _standing(job: "Document", attempt: int | None) -> str:
    if job["state"] == "active":
        asked = "" if attempt is None else f", not {attempt}: another converter has it"
        return f"{job['id']} is in attempt {job['attempt']} by now{asked}"
    if job["state"] == "done":
        return f"{job['id']} is done: {job['outcome']} {ago(job['finished'])}"
    before = f", after attempt {job['attempt']}" if job["attempt"] else ""
    return f"{job['id']} is available{before}: nobody has it"


def give_up_on_unknown(boss: "Verbs", source: str | None) -> None:
    """End the command when the source has never had a job, as far as the token may know."""
    if source is None:
        return
    known = known_sources(boss)
    if known is not None and source not in known:
        give_up(unknown(source, known), NOT_THERE)


def unknown(source: str, known: set[str]) -> str:
    """The message for a source that is not known."""
    close = get_close_matches(source, known, n=1)
    return f"no job of {source} was ever submitted" + (f"; did you mean {close[0]}?" if close else "")


def why_none(boss: "Verbs", sources: Sequence[str]) -> list[str]:
    """Why a take found no job: a source was never here, or its jobs are delayed; as far as the token may know."""
    try:
        tree = now(boss.tree())
        return [why for source in sources if source for why in _why_none_of(boss, source, tree)]
    except BossError:
        return []


def _why_none_of(boss: "Verbs", source: str, tree: dict[str, dict[str, int]]) -> Iterator[str]:
    known = {each for counts in tree.values() for each in counts}
    if source not in known:
        yield unknown(source, known)
    elif tree[State.AVAILABLE].get(source):
        first = islice(each(boss.jobs(state=State.AVAILABLE, source=source)), _MOST_READ)
        if due := sorted(job["due"] for job in first if job["due"]):
            many = "1 job of it is" if len(due) == 1 else f"{len(due):,} jobs of it are"
            yield f"{many} delayed, the first until {second(due[0])}"


def known_sources(boss: "Verbs") -> set[str] | None:
    """The sources that have or had jobs; None when the token may not read them."""
    try:
        tree = now(boss.tree())
    except BossError:
        return None
    return {source for counts in tree.values() for source in counts}
