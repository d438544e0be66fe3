"""Explain why a command did not find a job: it has another source, state or attempt."""

import contextlib
from collections.abc import Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING

from boss.cli.application import give_up, now
from boss.cli.exit_codes import NOT_THERE
from boss.cli.times import ago
from boss.errors import BossError, NotThere, WrongAttempt

if TYPE_CHECKING:
    from boss.client.json_text import Document
    from boss.client.verbs import Verbs


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


def known_sources(boss: "Verbs") -> set[str] | None:
    """The sources that have or had jobs; None when the token may not read them."""
    try:
        tree = now(boss.tree())
    except BossError:
        return None
    return {source for counts in tree.values() for source in counts}
