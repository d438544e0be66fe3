"""What a document's size is said to be, beside what jsonb makes of it; and jobs that no reader can be given."""

import asyncpg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from boss.dispatch.handouts import Handouts
from boss.dispatch.scan_cursors import ScanCursors
from boss.errors import BadInput
from boss.model.document import MOST_TEXT, check_object
from boss.model.job import State, Submission, Take, Taken
from boss.model.scan_cursor import ScanCursor
from boss.postgres import store
from boss.postgres.connection import Pool
from tests.helpers.dispatchers import no_limits
from tests.helpers.postgres import fill

pytestmark = pytest.mark.slow

_DIGITS = st.sampled_from([0, 1, 2, 7, 400, 16_382, 16_383, 16_384, 131_000, 131_071, 131_072, 131_073, 140_000])
_EXPONENTS = st.one_of(_DIGITS, st.sampled_from([2**30 - 2, 2**30 - 1, 2**31, 10**20]))


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """A JSON number, near the limits of what jsonb keeps."""
    whole = draw(st.sampled_from(["0", "7", "12"])) + draw(st.sampled_from("09")) * draw(_DIGITS)
    fraction = "." + draw(st.sampled_from("07")) * draw(_DIGITS) + draw(st.sampled_from("01"))
    exponent = (
        draw(st.sampled_from("eE"))
        + draw(st.sampled_from(["", "+", "-", "+000", "-" + "0" * 50]))
        + str(draw(_EXPONENTS))
    )
    sign, has_fraction, has_exponent = draw(st.sampled_from(["", "-"])), draw(st.booleans()), draw(st.booleans())
    return f"{sign}{whole.lstrip('0') or '0'}{fraction * has_fraction}{exponent * has_exponent}"


_ESCAPES = [r"\u00e9", r"\ud83d\ude00", r"\n", r"\u000a", r"\u0001", r"\/", r"\"", r"\u0022", r"\\"]
_STRINGS = st.lists(st.sampled_from(["a", "é", "😀", "1e5,", "{", *_ESCAPES])).map(lambda parts: f'"{"".join(parts)}"')
_SPACES = st.sampled_from(["", " ", "\n\t "])


def _array(found: tuple[str, list[str]]) -> str:
    space, values = found
    return f"[{space}{f'{space},{space}'.join(values)}{space}]"


_VALUES = st.recursive(
    st.one_of(numbers(), _STRINGS, st.sampled_from(["true", "null", "1", "-0", "-0.0"])),
    lambda inner: st.tuples(_SPACES, st.lists(inner, max_size=4)).map(_array),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=_VALUES)
@example("-0." + "0" * 16_383)
async def test_the_size_is_never_less_than_that_of_the_text_that_is_read_back(pool: Pool, value: str) -> None:
    document = f'{{"v": {value}}}'
    try:
        size = await pool.fetchval("SELECT octet_length(($1::text)::jsonb::text)", document)
    except asyncpg.PostgresError:
        with pytest.raises(BadInput, match="which overflows"):
            check_object(document.encode(), "it", 10**9)
        return
    assert size <= check_object(document.encode(), "it", 10**9).size
    # Where it comes to the last byte, it is exact.
    check_object(document.encode(), "it", size)
    with pytest.raises(BadInput, match=f"{size:,}"):
        check_object(document.encode(), "it", size - 1)


# Parsed, for jsonb_agg would write each number out: 1.9 s instead of 3 ms.
_LARGE = "jsonb_build_object('a', ('[' || repeat('1e131000, ', 8199) || '1e131000]')::jsonb)"


async def insert_unreadable(pool: Pool, *ids: str) -> None:
    """Jobs that cannot be read, as by SQL or from a version before."""
    await fill(
        pool, f"INSERT INTO job (id, source, document) SELECT id, 'a', {_LARGE} FROM unnest($1::text[]) AS id", ids
    )


@pytest.fixture
async def unreadable(pool: Pool) -> Pool:
    """Two jobs that come first and cannot be read, and three good ones behind them."""
    await insert_unreadable(pool, "bad-1", "bad-2")
    await store.submit(pool, [Submission(f"good-{number}", "a", "{}") for number in range(3)])
    return pool


async def take(handouts: Handouts, take: Take) -> list[Taken]:
    """What a take gets by the way that is its own."""
    if take.key:
        [got] = await handouts.by_key([take])
    elif take.fair:
        [got] = await handouts.within_limits([take])
    else:
        [got] = await (handouts.of_sources if take.source else handouts.of_any)([take])
    assert not isinstance(got, Exception)
    return got


@pytest.mark.parametrize(
    "asked",
    [
        Take(None, 2),
        Take("a"),
        Take("a", 10),
        Take(None),
        Take(None, fair=True),
        Take("a", key="k"),
        Take(None, key="k"),
    ],
)
async def test_a_take_sets_aside_what_it_cannot_read(unreadable: Pool, asked: Take) -> None:
    pool = unreadable
    got = await take(Handouts(pool, ScanCursors(), no_limits(pool)), asked)
    assert [each.job.id for each in got] == [f"good-{number}" for number in range(min(asked.limit, 3))]
    for record in (await store.list_jobs(pool, State.DONE, None, None, 10)).jobs:
        assert (record.outcome, record.attempt, record.taken_at) == ("failed", 0, None)
        assert "larger than 33,554,432 bytes" in (record.result or "")
        assert record.document == '"too large to be shown: more than 33,554,432 bytes"'
    assert (await store.count(pool))["a", State.DONE] == 2


async def test_a_take_past_marks_and_one_by_address_set_it_aside_as_well(unreadable: Pool) -> None:
    pool = unreadable
    cursors = ScanCursors()
    cursors.reset([ScanCursor(None, 0, 0), ScanCursor("a", 0, 0)])
    assert [each.job.id for each in await take(Handouts(pool, cursors, no_limits(pool)), Take(None))] == ["good-0"]
    await insert_unreadable(pool, "bad-3")
    asked = [("bad-3", Take("a")), ("good-1", Take("a"))]
    assert len(await Handouts(pool, cursors, no_limits(pool)).by_address(asked)) == 2
    places = await store.locate(pool, ["bad-3", "good-1"])
    assert {id: place.state for id, place in places.items()} == {"bad-3": State.DONE, "good-1": State.ACTIVE}


async def test_what_many_keys_hold_is_handed_out_again_in_parts(pool: Pool) -> None:
    await fill(
        pool,
        "INSERT INTO job (id, source, document) SELECT n, 'a', jsonb_build_object('a', repeat('x', 6000000)) "
        "FROM generate_series(1, 12) AS n",
    )
    handouts = Handouts(pool, ScanCursors(), no_limits(pool))
    takes = [Take("a", key=f"k{number}") for number in range(12)]
    first = await handouts.by_key(takes)
    assert await handouts.by_key([*takes, Take("a", key="new")]) == [*first, []]
    assert [len(jobs) for jobs in first if not isinstance(jobs, Exception)] == [1] * 12
    assert len(await store.take_again(pool, [f"k{number}" for number in range(12)])) == 5


async def test_what_is_changed_by_hand_is_measured_anew(pool: Pool) -> None:
    await store.submit(pool, [Submission("a", "a", "{}", document_bytes=2)])
    assert await pool.fetchval("SELECT document_bytes FROM job") == 2
    await pool.execute(f"UPDATE job SET document = {_LARGE}")
    assert await pool.fetchval("SELECT document_bytes FROM job") is None
    assert len((await store.list_jobs(pool, None, None, None, 10)).jobs[0].document) < 100
    await pool.execute("UPDATE job SET status = 'DONE', result = '{}', result_bytes = 2")
    await pool.execute(f"UPDATE job SET result = {_LARGE}")
    assert await pool.fetchval("SELECT result_bytes FROM job") is None
    assert len((await store.list_jobs(pool, None, None, None, 10)).jobs[0].result or "") < 100


async def test_the_texts_of_a_take_come_to_32_mib_and_those_of_a_page_to_8(pool: Pool) -> None:
    await pool.execute(
        "INSERT INTO job (id, source, document, document_bytes) "
        "SELECT 'job-' || 100 + n, 'a', jsonb_build_object('a', repeat('x', 1048567)), "
        "CASE WHEN n % 2 = 0 THEN 1048576 END FROM generate_series(1, 100) AS n"
    )
    page = await store.list_jobs(pool, None, None, None, 1000)
    assert [job.id for job in page.jobs] == [f"job-{200 - number}" for number in range(8)]
    assert page.more
    takes = [Take("a", 1000), Take("a", 1000), Take("a", 1)]
    got = await Handouts(pool, ScanCursors(), no_limits(pool)).of_sources(takes)
    many, more, one = [jobs for jobs in got if not isinstance(jobs, Exception)]
    assert [each.job.id for each in [*many, *more]] == [f"job-{101 + number}" for number in range(64)]
    assert sum(len(each.job.document) for each in many) == MOST_TEXT
    assert [each.job.id for each in one] == ["job-165"]


@pytest.fixture
async def unmeasured(pool: Pool) -> Pool:
    """400 large documents of unknown size. Each takes 44 ms to measure; a statement that did all would be cut off."""
    await fill(
        pool,
        "INSERT INTO job (id, source, document) SELECT 1, 'a', jsonb_build_object('a', jsonb_agg(1000000000 + i)) "
        "FROM generate_series(1, 85000) AS i",
    )
    # A copy is not compressed anew, which takes 25 ms each.
    await fill(
        pool,
        "INSERT INTO job (id, source, document) SELECT n, 'a', document FROM job, generate_series(2, 400) AS n",
    )
    return pool


@pytest.mark.long
async def test_a_take_measures_no_more_documents_than_it_hands_out(unmeasured: Pool) -> None:
    for asked in (Take(None, 1000), Take("a", 50), Take(None, 1000, fair=True), Take("a", 1000, key="k")):
        got = await take(Handouts(unmeasured, ScanCursors(), no_limits(unmeasured)), asked)
        assert 25 <= len(got) <= 32
        assert sum(len(each.job.document) for each in got) <= MOST_TEXT


@pytest.mark.alone
async def test_lists_and_the_diagnosis_measure_no_more_than_they_show(unmeasured: Pool) -> None:
    assert (await store.list_jobs(unmeasured, None, None, None, 1000)).more
    assert (await store.examine(unmeasured)).unreadable == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("attempt", "2147483647"),
        ("submitted_at", "'20000-01-01'"),
        ("finished_at", "'20000-01-01'"),
        ("due_at", "'0001-01-01 BC'"),
        ("history", "'{}'"),
        ("traceparent", r"E'00\r\nset-cookie: a'"),
    ],
)
async def test_what_no_reader_could_get_out_of_a_row_does_not_get_in(pool: Pool, column: str, value: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.execute(f"INSERT INTO job (id, source, document, {column}) VALUES ('a', 'a', '{{}}', {value})")


async def test_a_history_that_is_none_or_cannot_be_read_harms_nobody(pool: Pool) -> None:
    """As in rows from before the table refused it."""
    await pool.execute("ALTER TABLE job DROP CONSTRAINT job_history_is_a_list")
    await store.submit(pool, [Submission(id, "a", "{}") for id in ("a", "b")])
    await store.take(pool, [Take(None, 2, 60)])
    await pool.execute("UPDATE job SET lease_until = now(), history = CASE id WHEN 'a' THEN '{}'::jsonb END")
    assert len(await store.end_leases(pool, 10, 1e9)) == 2
    await pool.execute(f"UPDATE job SET history = {_LARGE} WHERE id = 'a'")
    assert (await store.list_jobs(pool, None, None, None, 10)).jobs[1].history is None
