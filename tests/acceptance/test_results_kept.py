"""Results go to Boss as the bytes they are; one that cannot be kept does not run its job again."""

import asyncio
import json
from functools import partial
from pathlib import Path
from typing import Never

import httpx
import pytest

from boss import AsyncJob, Converter, Failure, Job
from tests.helpers.compressing_proxy import CompressingProxy
from tests.helpers.jobs import record
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess, boss_running
from tests.helpers.sites import serving
from tests.helpers.workers import only_job, working

pytestmark = pytest.mark.slow

MOST = 1024 * 1024


@pytest.fixture
def url(module_boss: BossProcess, client: httpx.Client) -> str:
    return module_boss.url


def printed(url: str, client: httpx.Client, source: str, folder: Path, text: bytes) -> str:
    """The job that a command has done which printed this, as the server shows it."""
    (folder / "printed").write_bytes(text)
    id = submit(client, source, attempts=1)
    with working(url, folder, source, "--once", "--", "cat", str(folder / "printed")) as worker:
        assert worker.ended() == 0
    return client.get(f"/job/done/{source}/{id}").text and client.get(f"/jobs/{id}").text


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b'{"n": 12345678901234567890.123456789}', '{"n": 12345678901234567890.123456789}'),
        (b'log\n{"n": 1.10, "a": ["\\u0416"]}\n\n', '{"a": ["\u0416"], "n": 1.10}'),
        (b'{"n": ' + b"7" * 5000 + b"}", '{"n": ' + "7" * 5000 + "}"),
        (b'{"n": 1e3}', '{"n": 1000}'),
        (b"done", "null"),
        (b"[1]", "null"),
        (b'{"a": "\xff"}', "null"),
    ],
)
def test_a_result_is_kept_to_the_digit(
    url: str, client: httpx.Client, source: str, tmp_path: Path, line: bytes, kept: str
) -> None:
    shown = printed(url, client, source, tmp_path, line)
    assert '"outcome":"completed"' in shown
    assert f'"result":{kept}' in shown


def test_text_in_any_script_is_no_larger_than_it_was_printed(
    url: str, client: httpx.Client, source: str, tmp_path: Path
) -> None:
    text = "\u0436" * 300_000  # 600 kB, and 1.8 MB as \uXXXX
    printed(url, client, source, tmp_path, json.dumps({"text": text}, ensure_ascii=False).encode())
    assert only_job(client, source)["result"] == {"text": text}


def test_the_same_from_a_function(url: str, client: httpx.Client, source: str) -> None:
    text = "\u0436" * 300_000
    ids = [submit(client, source, document) for document in ('{"as": "dict"}', '{"as": "text"}')]

    def convert(job: Job) -> dict[str, object] | str:
        return {"text": text} if job.document["as"] == "dict" else '{"n": 12345678901234567890.123456789}'

    asyncio.run(Converter(convert, [source], url=url, until_empty=True).work())
    assert record(client, ids[0])["result"] == {"text": text}
    assert '"result":{"n": 12345678901234567890.123456789}' in client.get(f"/jobs/{ids[1]}").text


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"n": NaN}', "not JSON"),
        (b'{"n": -Infinity}', "not JSON"),
        (b'{"n": 1e400000}', "overflow|too"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a": "\\ud800"}', "surrogate|half|pair"),
        (b"[" * 2000 + b"]" * 2000, None),
        (b'{"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", "nested|deep|JSON"),
        (b'{"a": "' + b"x" * MOST + b'"}', "larger than"),
        (b'{"a": "' + b"x" * 33 * MOST + b'"}', "longer than"),
    ],
    ids=["NaN", "Infinity", "1e400000", "NUL", "surrogate", "deep list", "deep", "too large", "too large for any"],
)
def test_one_that_cannot_be_kept_leaves_a_note(
    url: str, client: httpx.Client, source: str, tmp_path: Path, line: bytes, says: str | None
) -> None:
    printed(url, client, source, tmp_path, line)
    shown = only_job(client, source)
    assert (shown["state"], shown["outcome"], shown["attempt"]) == ("done", "completed", 1)
    if says is None:
        assert shown["result"] is None
        return
    [(key, note)] = shown["result"].items()
    assert key == "note"
    assert note.startswith("the result could not be kept: ")
    assert any(word in note for word in says.split("|")), note


class Unsendable:
    """Something that is no JSON."""


class Changing(dict[str, object]):
    """As one that another thread still fills."""

    def items(self) -> Never:
        raise RuntimeError("dictionary changed size during iteration")


@pytest.mark.parametrize(
    "result",
    [
        *({"n": float("nan")}, {"n": {1, 2}}, {"n": Unsendable()}, {"n": 10**5000}, {"a": "\0"}, {"a": "x" * MOST}),
        *([1], "no JSON", b"\xff", '{"a": "\ud800"}', Changing(a=1)),
    ],
    ids=[
        *("NaN", "set", "object", "digits", "NUL", "too large"),
        *("list", "text", "bytes", "half a pair", "changing"),
    ],
)
def test_the_same_for_what_a_function_returns(url: str, client: httpx.Client, source: str, result: object) -> None:
    id = submit(client, source, attempts=1)

    async def convert(_: AsyncJob) -> object:
        return result

    asyncio.run(Converter(convert, [source], url=url, once=True).work())  # type: ignore[arg-type]
    shown = record(client, id)
    assert (shown["outcome"], shown["attempt"], list(shown["result"])) == ("completed", 1, ["note"])


@pytest.mark.parametrize("for_good", [True, False])
def test_the_same_for_why_it_failed(url: str, client: httpx.Client, source: str, for_good: bool) -> None:
    id = submit(client, source)

    async def convert(_: AsyncJob) -> None:
        raise Failure({"n": float("nan")}, for_good=for_good)

    asyncio.run(Converter(convert, [source], url=url, once=True).work())
    shown = record(client, id)
    assert (shown["outcome"], list(shown["result"])) == ("failed" if for_good else None, ["note"])


def test_one_among_many_keeps_no_other_from_being_kept(url: str, client: httpx.Client, source: str) -> None:
    """Finishes are sent together."""
    ids = [submit(client, source, f'{{"n": {number}}}', attempts=1) for number in range(60)]

    async def convert(job: AsyncJob) -> str:
        return '{"n": NaN}' if job.document["n"] % 7 == 0 else job.text

    asyncio.run(Converter(convert, [source], url=url, slots=20, until_empty=True).work())
    shown = [record(client, id) for id in ids]
    assert {each["outcome"] for each in shown} == {"completed"}
    notes = [number for number, each in enumerate(shown) if "note" in each["result"]]
    assert notes == list(range(0, 60, 7))


class SmallProxy(CompressingProxy):
    """As nginx, which lets no body of more than 1 MB pass by default."""

    most = 100_000


def test_a_proxy_that_lets_no_large_body_pass(module_boss: BossProcess, client: httpx.Client, source: str) -> None:
    """Its 413 is no answer of Boss's, and says nothing of jobs."""
    with serving(partial(SmallProxy, module_boss.port, True)) as port:
        ids = [submit(client, source, f'{{"n": {number}}}', attempts=1) for number in range(20)]

        async def convert(job: AsyncJob) -> dict[str, object]:
            return {"text": "x" * (200_000 if job.document["n"] == 3 else 10)}

        asyncio.run(Converter(convert, [source], url=f"http://127.0.0.1:{port}", slots=10, until_empty=True).work())
        shown = [record(client, id) for id in ids]
        assert {each["outcome"] for each in shown} == {"completed"}
        assert "413" in shown[3]["result"]["note"]
        assert sum("text" in each["result"] for each in shown) == 19


def test_where_not_even_the_note_is_small_enough(database: str, source: str, tmp_path: Path) -> None:
    with boss_running("--database", database, "--max-document", "20") as boss, boss.client() as client:
        id = submit(client, source, attempts=1)
        words = (source, "--once", "--", "echo", '{"aaaaaaaaaaaaaa": "bbbbbbbbbbbbbbbbbbbbb"}')
        with working(boss.url, tmp_path, *words) as worker:
            assert worker.ended() == 0
        assert (record(client, id)["outcome"], record(client, id)["result"]) == ("completed", None)
