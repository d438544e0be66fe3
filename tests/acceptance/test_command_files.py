"""Documents from files: when an argument is read as a file, and the error when it is not one."""

import subprocess
from pathlib import Path

import httpx
import pytest

from tests.helpers.commands import PROGRAM, Boss
from tests.helpers.servers import PATIENCE, BossProcess

pytestmark = pytest.mark.slow

_EXACT = '{"digits": 12345678901234567890.123456789, "text": "привет"}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "doc.json").write_text(_EXACT)
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "blank.json").write_text(" \n")
    (tmp_path / "two.ndjson").write_text('{"a": 1}\n{"a": 2}\n')
    (tmp_path / "pretty.json").write_text('{\n  "a": 1\n}\n')
    (tmp_path / "array.json").write_text("[1]")
    (tmp_path / "latin.json").write_bytes('{"a": "å"}'.encode("latin-1"))
    (tmp_path / "mark.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    (tmp_path / "deep.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    (tmp_path / "sub").mkdir()
    return tmp_path


def run(module_boss: BossProcess, folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The command, in that folder."""
    return subprocess.run(
        [PROGRAM, *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=folder,
        env=Boss(module_boss.url).environment,
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["doc.jsn"],
            "there is no file doc.jsn; did you mean doc.json? (if it is the id: boss submit SOURCE doc.jsn -)",
        ),
        (["nothing.json"], "there is no file nothing.json (if it is the id:"),
        (["./doc.jsn"], "there is no file ./doc.jsn; did you mean doc.json?\n"),
        (["sub/doc.json"], "there is no file sub/doc.json\n"),
        (["nowhere/doc.json"], "there is no file nowhere/doc.json\n"),
        (["sub"], "sub is a folder; name a file in it"),
        (["sub/"], "sub/ is a folder; name a file in it"),
        (["monday", "sub"], "sub is a folder; name a file in it"),
        (["monday", "doc.jsn"], "cannot read doc.jsn: No such file or directory"),
        (["doc.json", "monday"], "the id comes first: boss submit freg monday doc.json"),
        (["empty.json"], 'empty.json is empty; a document is a JSON object such as {"a": 1}'),
        (["blank.json"], "blank.json is empty"),
        ([], "standard input is empty"),
        (["two.ndjson"], "two.ndjson has a JSON object in each line: --lines makes each of them a job"),
        (
            ["pretty.json", "--lines"],
            "line 1 of pretty.json is not JSON: Expecting property name",
        ),
        (["pretty.json", "--lines"], "one document of several lines is submitted without --lines"),
        (["array.json"], 'array.json is not a JSON object such as {"a": 1}'),
        (["latin.json"], "latin.json is not UTF-8: invalid continuation byte at byte 8"),
        (["deep.json"], "deep.json is nested too deeply"),
    ],
)
def test_one_line_of_what_is_wrong(module_boss: BossProcess, folder: Path, words: list[str], says: str) -> None:
    said = run(module_boss, folder, "submit", "freg", *words)
    assert said.stderr.startswith("boss: ")
    assert says in said.stderr
    assert (said.returncode, said.stderr.count("\n"), said.stdout) == (2, 1, "")


def test_a_source_that_is_a_file(module_boss: BossProcess, folder: Path) -> None:
    said = run(module_boss, folder, "submit", "doc.json")
    assert said.stderr == "boss: doc.json is a file; say whose job it is as well: boss submit SOURCE doc.json\n"
    assert said.returncode == 2


def test_a_result_that_is_a_file(module_boss: BossProcess, folder: Path) -> None:
    said = run(module_boss, folder, "done", "freg", "monday", "doc.json")
    assert "doc.json is a file: say - instead, and < doc.json" in said.stderr
    assert said.returncode == 2


def test_an_id_may_look_like_a_file(module_boss: BossProcess, client: httpx.Client, folder: Path, source: str) -> None:
    assert run(module_boss, folder, "submit", source, f"{source}.json", "-", stdin="{}").stdout == f"{source}.json\n"
    assert run(module_boss, folder, "submit", source, f"{source}.2024", stdin="{}").stdout == f"{source}.2024\n"
    assert client.get("/job").json()["available"][source] == 2


def test_documents_and_results_go_to_the_letter(
    module_boss: BossProcess, client: httpx.Client, folder: Path, source: str
) -> None:
    assert run(module_boss, folder, "submit", source, source, "doc.json").returncode == 0
    assert '"digits": 12345678901234567890.123456789' in client.get(f"/jobs?source={source}").text
    assert "12345678901234567890.123456789" in run(module_boss, folder, "take", source).stdout
    large = _EXACT.replace("}", ', "large": 1e400}')
    assert run(module_boss, folder, "give-back", source, source, large, "--delay", "0").returncode == 0
    assert f'"large": 1{"0" * 400}' in client.get(f"/jobs?source={source}").text
    assert run(module_boss, folder, "done", source, source, "-", stdin=large).returncode == 0
    for words in (["show", source], ["show", source, "--json"], ["jobs", "--source", source, "--json"]):
        said = run(module_boss, folder, *words).stdout
        assert said.count("12345678901234567890.123456789") >= 2
        assert "привет" in said


def test_cyrillic_and_marks(module_boss: BossProcess, client: httpx.Client, folder: Path, source: str) -> None:
    # As \u escapes it would be more than Boss takes.
    (folder / "large.json").write_text('{"a": "%s"}' % ("я" * 300_000))
    for file in ("large.json", "mark.json"):
        assert run(module_boss, folder, "submit", source, file).returncode == 0
    assert client.get("/job").json()["available"][source] == 2


def test_give_back_uncounted(module_boss: BossProcess, client: httpx.Client, folder: Path, source: str) -> None:
    run(module_boss, folder, "submit", source, source, "doc.json", "--attempts", "1")
    run(module_boss, folder, "take", source)
    assert run(module_boss, folder, "give-back", source, source, "--uncounted").returncode == 0
    assert client.get(f"/jobs/{source}").json()["state"] == "available"
    run(module_boss, folder, "take", source)
    assert run(module_boss, folder, "give-back", source, source, "--delay", "0").returncode == 0
    assert client.get(f"/jobs/{source}").json()["state"] == "done"
