"""Done jobs that cannot be moved: they stop nobody, and are named."""

import logging

import pytest

from boss.dispatch.history import History
from boss.model.diagnosis import Verdict, examine
from boss.postgres import store
from boss.postgres.connection import Pool
from tests.helpers.volumes import done, moved

_FOREIGN_KEY = """
CREATE TABLE mine (job varchar(64) REFERENCES job (id) {});
INSERT INTO mine VALUES ('b')
"""
_SAME_ID = "UPDATE job SET id = 'b' WHERE id = 'a'"
# A row from before the migration that added a check, which leaves old rows as they are.
_OLD_ROW = """
ALTER TABLE job DROP CONSTRAINT job_traceparent_is_printable;
UPDATE job SET traceparent = 'é' WHERE id = 'b';
ALTER TABLE job ADD CONSTRAINT job_traceparent_is_printable CHECK (traceparent !~ '[^ -~]') NOT VALID
"""
# Of the user's, checked at the commit.
_OWN_TRIGGER = """
CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF OLD.id = 'b' THEN RAISE 'not this one'; END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER mine AFTER DELETE ON job DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION mine()
"""


async def left(pool: Pool) -> list[str]:
    return [row["id"] for row in await pool.fetch("SELECT id FROM ONLY job WHERE status = 'DONE' ORDER BY id")]


@pytest.mark.parametrize("how", [_FOREIGN_KEY.format(""), _SAME_ID, _OLD_ROW, _OWN_TRIGGER])
async def test_one_that_cannot_be_moved_is_left_behind_and_named(
    pool: Pool, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    if how == _SAME_ID:
        await moved(pool, "a")
        await done(pool, "b", "c", "d", "e")
    else:
        await done(pool, "a", "b", "c", "d", "e")
    # Long before those that are moved, or doctor would wait.
    await pool.execute("UPDATE job SET finished_at = finished_at - interval '1 hour' WHERE id = 'b'")
    await pool.execute(how)
    history = History(pool, None, {})
    with caplog.at_level(logging.WARNING):
        for id in ("f", "g"):
            await history.keep()
            assert await left(pool) == ["b"]
            await done(pool, id)
        await history.keep()
    assert await left(pool) == ["b"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "1 done jobs cannot be moved into a volume" in caplog.text
    assert "the first is b: " in caplog.text
    [named] = [each for each in examine(await store.examine(pool), 0, {}) if each.what == "jobs that cannot be moved"]
    assert (named.value, named.verdict) == ("/job/done/freg/b", Verdict.WATCH)


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL"])
async def test_none_is_moved_while_rows_of_another_table_would_follow(pool: Pool, action: str) -> None:
    await done(pool, "a", "b")
    await pool.execute(_FOREIGN_KEY.format(f"ON DELETE {action}"))
    await History(pool, None, {}).keep()
    assert await left(pool) == ["a", "b"]
    assert await pool.fetchval("SELECT job FROM mine") == "b"
    assert (await store.examine(pool)).left_behind == ["all, because of mine_job_fkey of mine"]


async def test_what_is_to_be_moved_is_not_named(pool: Pool) -> None:
    await moved(pool, "a")
    await done(pool, "b")
    assert (await store.examine(pool)).left_behind == []
