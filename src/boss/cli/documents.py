"""Read a document or a result from a file, standard input or the command line, and check that it is a JSON object."""

import json
import os
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from boss.cli.application import give_up
from boss.cli.exit_codes import USAGE

_EXAMPLE = 'a JSON object such as {"a": 1}'
# An argument with such a suffix is taken for a file, although an id may have one as well.
_SUFFIXES = {".json", ".jsn", ".jsonl", ".ndjson", ".txt", ".csv", ".xml", ".yaml", ".yml", ".gz"}
_MARK = b"\xef\xbb\xbf"


def chosen_file(source: str, id: str | None, file: str | None) -> tuple[str | None, str]:
    """The id and the file that the arguments name. A single argument after the source is the file, if there is one."""
    if file is None:
        if id is None:
            if Path(source).is_file():
                give_up(f"{source} is a file; say whose job it is as well: boss submit SOURCE {source}", USAGE)
            return None, "-"
        if id == "-" or Path(id).exists():
            return None, id
        _give_up_on_missing(id)
        return id, "-"
    if file != "-" and Path(id or "").is_file() and not Path(file).exists():
        give_up(f"the id comes first: boss submit {source} {file} {id}", USAGE)
    return id, file


def _give_up_on_missing(word: str) -> None:
    """End the command when the argument seems to be a file, and there is no file of that name."""
    path = Path(word)
    close = get_close_matches(path.name, _names(path.parent), n=1, cutoff=0.8) if "." in word else []
    if "/" in word or path.suffix.lower() in _SUFFIXES or close:
        meant = f"; did you mean {path.parent / close[0]}?" if close else ""
        an_id = "" if "/" in word else f" (if it is the id: boss submit SOURCE {word} -)"
        give_up(f"there is no file {word}{meant}{an_id}", USAGE)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def read_document(file: str) -> bytes:
    """The document in a file, unchanged; - is standard input."""
    text, what = _read(file), "the document" if file == "-" else file
    if not text.strip():
        give_up(f"{'standard input' if file == '-' else file} is empty; a document is {_EXAMPLE}", USAGE)
    if _has_a_document_in_each_line(text):
        give_up(f"{what} has a JSON object in each line: --lines makes each of them a job", USAGE)
    return _checked(text, what)


def read_result(word: str) -> bytes:
    """The result: the argument itself, unchanged, or standard input when it is -."""
    return _read_word(word, "result")


def read_note(word: str) -> bytes:
    """The note, as `read_result` reads a result."""
    return _read_word(word, "note")


def _read_word(word: str, what: str) -> bytes:
    if word != "-" and Path(word[:1000]).is_file():
        give_up(f"the {what} is {_EXAMPLE}, and {word} is a file: say - instead, and < {word}", USAGE)
    text = _read("-") if word == "-" else os.fsencode(word)
    if word == "-" and not text.strip():
        give_up(f"standard input is empty; a {what} is {_EXAMPLE}", USAGE)
    return _checked(text, f"the {what}")


def object_line(line: bytes, what: str) -> str:
    """The text of a line, unchanged. The command ends when it is not a JSON object."""
    return _checked(line, what, line_wise=True).decode().rstrip("\r\n")


def _read(file: str) -> bytes:
    if file == "-":
        if sys.stdin.isatty():
            print("boss: reading from standard input; Ctrl-D ends it", file=sys.stderr)
        return sys.stdin.buffer.read()
    if Path(file).is_dir():
        give_up(f"{file} is a folder; name a file in it", USAGE)
    try:
        return Path(file).read_bytes()
    except OSError as error:
        give_up(f"cannot read {file}: {error.strerror or error}", USAGE)


def _checked(text: bytes, what: str, line_wise: bool = False) -> bytes:
    """The text without a byte order mark. When it is not a JSON object, the command ends and says what is wrong."""
    text = text.removeprefix(_MARK)
    try:
        is_object = isinstance(_parsed(text), dict)
    except UnicodeDecodeError as error:
        give_up(f"{what} is not UTF-8: {error.reason} at byte {error.start + 1}", USAGE)
    except json.JSONDecodeError as error:
        where = f"column {error.colno}" if line_wise else f"line {error.lineno}, column {error.colno}"
        hint = "; one document of several lines is submitted without --lines" if line_wise and _begins(text) else ""
        give_up(f"{what} is not JSON: {error.msg} at {where}{hint}", USAGE)
    except RecursionError:
        give_up(f"{what} is nested too deeply", USAGE)
    if not is_object:
        give_up(f"{what} is not {_EXAMPLE}", USAGE)
    return text


def _parsed(text: bytes) -> Any:
    # Numbers are not parsed here: Boss keeps more digits than Python can parse, and 1e400.
    return json.loads(text.decode(), parse_int=str, parse_float=str)


def _begins(line: bytes) -> bool:
    """Whether this seems to be the first line of a document that goes on in the next line."""
    return line.strip() == b"{" or (line.lstrip().startswith(b"{") and line.rstrip().endswith((b",", b":", b"{", b"[")))


def _has_a_document_in_each_line(text: bytes) -> bool:
    first, second, *_ = [line for line in text.split(b"\n", 2)[:2] if line.strip()] + [b"", b""]
    try:
        return isinstance(_parsed(first), dict) and isinstance(_parsed(second), dict)
    except (ValueError, RecursionError):
        return False
