"""What a redo keeps of a job, column by column."""

from boss.model.job import Finish, Note, Redo, Submission, Take
from boss.postgres import store
from boss.postgres.connection import Connection, Pool, transaction

# A column that is not here is new: a redo must name it (moving.py), or it has nothing to say of an available job.
KEPT = {
    *("id", "source", "document", "document_bytes", "priority", "submitted_at", "submitted_by", "attempt"),
    *("taken_at", "seen_at", "lease", "traceparent", "result", "result_bytes", "note", "timeout"),
}
CHANGED = {"status", "position", "attempts", "allowed", "history"}
EMPTY = {
    *("due_at", "expires_at", "lease_until", "take_key", "finished_at", "outcome", "finished_by", "taken_by"),
    *("converter", "after_ids"),
}


async def row(connection: Connection) -> dict[str, object]:
    found = await connection.fetchrow("SELECT * FROM job")
    assert found
    return dict(found)


async def test_a_redo_keeps_what_the_job_is(pool: Pool) -> None:
    await store.submit(
        pool,
        [
            Submission(
                *("one", "freg", '{"n": 1}', 7),
                attempts=3,
                traceparent="00-1",
                by="submitter",
                document_bytes=8,
                timeout=60,
                expires=60,
            )
        ],
    )
    await store.take(pool, [Take("freg", lease=60, by="converter")])
    await store.leave_notes(pool, [Note("one", "freg", 1, '{"page": 3}')])
    await store.finish(pool, [Finish("one", "freg", result='{"rows": 1}', by="converter", result_bytes=11)])
    async with transaction(pool) as connection:
        before = await row(connection)
    assert await store.redo(pool, Redo("one", "freg", None, None, None, "root"), '{"job": "one"}')
    async with transaction(pool) as connection:
        after = await row(connection)
    assert set(after) == KEPT | CHANGED | EMPTY
    assert {name for name in after if after[name] != before[name]} == CHANGED | (EMPTY & set(before) - _none(before))
    assert all(after[name] is None for name in EMPTY)
    assert all(after[name] is not None for name in KEPT)
    assert (after["status"], after["attempts"]) == ("AVAILABLE", 6)


def _none(row: dict[str, object]) -> set[str]:
    return {name for name, value in row.items() if value is None}
