"""Documents and results on their way through the client: a dict, or JSON text that arrives as it is."""

import asyncio
import math
from typing import Any

import httpx
import pytest

from boss import AsyncClient, BadInput, Client
from boss.client.json_text import Json
from boss.client.requests import take_address
from tests.helpers.commands import Boss
from tests.helpers.requests import submit
from tests.helpers.servers import BossProcess

_EXACT = '{"digits": 12345678901234567890.123456789, "large": 1e400}'


def stored(client: httpx.Client, source: str, what: str) -> str:
    """The document or result of the one job of a source, as text."""
    text = client.get(f"/jobs?source={source}").text
    return text.partition(f'"{what}":')[2]


@pytest.mark.parametrize("text", [_EXACT, _EXACT.encode(), _EXACT.replace(", ", ",\r\n ")])
def test_text_keeps_every_digit(module_boss: BossProcess, client: httpx.Client, source: str, text: Json) -> None:
    with Client(module_boss.url) as boss:
        id = boss.submit(source, text)
        assert stored(client, source, "job").startswith('{"large": 1000')
        assert '"digits": 12345678901234567890.123456789' in stored(client, source, "job")
        with boss.take(source) as job:
            job.give_back(0, text)
        assert '"digits": 12345678901234567890.123456789' in stored(client, source, "result")
        boss.done(source, id, text)
    assert '"digits": 12345678901234567890.123456789' in stored(client, source, "result")


def test_a_number_of_more_digits_than_python_reads(module_boss: BossProcess, client: httpx.Client, source: str) -> None:
    digits = "7" * 5000
    with Client(module_boss.url) as boss:
        boss.submit(source, f'{{"a": {digits}}}')
        with boss.take(source) as job:
            assert str(job.document["a"]) == digits
        [shown] = boss.jobs(source=source)
        assert str(shown["job"]["a"]) == digits
    command = Boss(module_boss.url)
    command("submit", source, stdin=f'{{"a": {digits}}}')
    assert digits in command("take", source).stdout
    assert digits in command("jobs", "--source", source, "--json").stdout


async def test_text_of_several_lines_among_many_that_finish_at_once(module_boss: BossProcess, source: str) -> None:
    async with AsyncClient(module_boss.url) as boss:
        ids = [await boss.submit(source, {"n": n}) for n in range(20)]
        await asyncio.gather(*(boss.done(source, id, f'{{\n"id":\r\n"{id} \u2028"}}') for id in ids))
        jobs = [job async for job in boss.jobs(source=source)]
    assert {job["id"]: job["result"] for job in jobs} == {id: {"id": f"{id} \u2028"} for id in ids}


def test_cyrillic_stays_as_small_as_it_is(module_boss: BossProcess, client: httpx.Client, source: str) -> None:
    # As \u escapes it would be 1.8 MB, and more than Boss takes.
    document = {"text": "я" * 300_000}
    with Client(module_boss.url) as boss:
        id = boss.submit(source, document)
        boss.done(source, id, document)
    [job] = client.get(f"/jobs?source={source}").json()["jobs"]
    assert (job["job"], job["result"]) == (document, document)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_json_is_refused_before_it_is_sent(
    module_boss: BossProcess, client: httpx.Client, source: str, number: float
) -> None:
    id = submit(client, source)
    wrong: dict[str, Any] = {"a": [number]}
    with Client(module_boss.url) as boss:
        for method in (lambda: boss.submit(source, wrong), lambda: boss.done(source, id, wrong)):
            with pytest.raises(BadInput, match="NaN and Infinity are no JSON: send null, or a string"):
                method()
        with boss.take(source) as job, pytest.raises(BadInput, match="NaN and Infinity"):
            job.done(wrong)
    assert client.get("/job").json()["done"][source] == 1


def test_half_a_pair_is_refused_by_the_server(module_boss: BossProcess, source: str) -> None:
    with Client(module_boss.url) as boss:
        for half in ({"a": "\ud800"}, '{"a": "\\ud800"}'):
            with pytest.raises(BadInput, match="surrogate"):
                boss.submit(source, half)
        with pytest.raises(BadInput, match="JSON is UTF-8, and this is not: invalid start byte at byte 8"):
            boss.submit(source, b'{"a": "\xff"}')


def test_an_uncounted_attempt_is_none_of_those_it_may_have(
    module_boss: BossProcess, client: httpx.Client, source: str
) -> None:
    submit(client, source, attempts=1)
    with Client(module_boss.url) as boss:
        boss.take_now(source, wait=0).give_back(uncounted=True)
        [job] = client.get(f"/jobs?source={source}").json()["jobs"]
        assert (job["state"], job["due"]) == ("available", None)
        again = boss.take_now(source, wait=0)
        boss.give_back(source, again.id, uncounted=True, attempt=again.attempt)
        boss.take_now(source, wait=0).give_back(0)
    [job] = client.get(f"/jobs?source={source}").json()["jobs"]
    assert (job["state"], job["attempt"]) == ("done", 3)


@pytest.mark.parametrize(
    ("source", "address"),
    [
        (None, "/job/available"),
        ([], "/job/available"),
        ("freg", "/job/available/freg"),
        ("fr/eg", "/job/available/fr%2Feg"),
        ("freg,sirius", "/job/available/freg,sirius"),
        (["freg", "si rius"], "/job/available/freg,si%20rius"),
    ],
)
def test_where_one_of_several_sources_is_taken_from(source: str | list[str] | None, address: str) -> None:
    assert take_address(source) == address
